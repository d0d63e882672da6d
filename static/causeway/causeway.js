/* What pages gain with a script: the viewer's time zone, times that tick, the theme without a reload, and a word when
   the connection is lost. Without it every page works; live parts then say how to reload. */
(function () {
  "use strict";

  document.documentElement.dataset.script = "";  /* hides what is said for want of a script */

  function setCookie(name, value) {
    var secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = name + "=" + encodeURIComponent(value) + "; Path=/; Max-Age=31536000; SameSite=Lax" + secure;
  }

  function getCookie(name) {
    var found = document.cookie.split("; ").find(function (part) { return part.indexOf(name + "=") === 0; });
    return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
  }

  /* The server renders times in this zone from the next page on. */
  var zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && getCookie("zone") !== zone) { setCookie("zone", zone); }

  /* Relative times tick; from an hour on in two units, as the server writes them. */
  var UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  function relative(seconds) {
    var size = Math.floor(Math.abs(seconds));
    for (var i = 0; i < UNITS.length; i += 1) {
      if (size >= UNITS[i][0]) {
        var text = Math.floor(size / UNITS[i][0]) + " " + UNITS[i][1];
        var rest = i < 2 ? Math.floor(size % UNITS[i][0] / UNITS[i + 1][0]) : 0;
        if (rest) { text += " " + rest + " " + UNITS[i + 1][1]; }
        return seconds > 0 ? text + " ago" : "in " + text;
      }
    }
    return "now";
  }
  function tick() {
    document.querySelectorAll("time[data-ago]").forEach(function (element) {
      var text = relative((Date.now() - Date.parse(element.dateTime)) / 1000);
      if (element.textContent !== text) { element.textContent = text; }
    });
  }
  tick();
  setInterval(tick, 1000);

  /* The theme switch: the form works alone; here it saves the round trip. */
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (!form.matches("[data-theme-switch]")) { return; }
    event.preventDefault();
    var root = document.documentElement;
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    setCookie("theme", root.dataset.theme);
  });

  /* A link to a digest opens what it names. */
  function reveal() {
    var named = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    var fold = named && named.closest("details");
    if (fold && !fold.open) { fold.open = true; fold.scrollIntoView({ block: "center" }); }
  }
  reveal();
  window.addEventListener("hashchange", reveal);

  /* A refused button is announced with its reason instead of doing nothing. */
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[aria-disabled=true]");
    if (button) { event.preventDefault(); }
  });

  /* A second press of a sending button is not a second request. */
  document.addEventListener("submit", function (event) {
    if (event.defaultPrevented) { return; }
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    event.target.dataset.sent = "1";
  });
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form[data-sent]").forEach(function (form) { delete form.dataset.sent; });
  });

  /* Live parts: heard from within five seconds, or the page says that it is not. */
  var live = document.querySelector("[data-live]");
  if (!live) { return; }
  var heard = Date.now();
  var notice = document.getElementById("connection");
  var since = document.getElementById("connection-since");
  var announcement = document.getElementById("announcement");
  var said = live.dataset.said;

  function hear() {
    heard = Date.now();
    if (notice) { notice.hidden = true; }
    var now = document.querySelector("[data-live]");
    if (now && announcement && now.dataset.said !== said) {
      said = now.dataset.said;
      announcement.textContent = said;
      document.title = said + " · " + now.dataset.title;
    }
    tick();
  }
  /* What was unfolded stays so when the live part is exchanged. */
  var unfolded = [];
  document.body.addEventListener("htmx:beforeSwap", function () {
    unfolded = Array.prototype.map.call(document.querySelectorAll("#live details[open][id]"), function (fold) { return fold.id; });
  });
  document.body.addEventListener("htmx:afterSwap", function () {
    unfolded.forEach(function (id) {
      var fold = document.getElementById(id);
      if (fold) { fold.open = true; }
    });
  });
  document.body.addEventListener("htmx:afterRequest", function (event) {
    var answer = event.detail.xhr.status;
    if ((answer >= 200 && answer < 300) || answer === 304) { setTimeout(hear, 0); }
    if (answer === 401 || answer === 403 || answer === 404) { location.reload(); }
  });
  setInterval(function () {
    var polling = document.querySelector("[data-live][hx-get]");
    if (!polling || !notice || document.hidden) { heard = Math.max(heard, Date.now() - 3000); return; }
    if (Date.now() - heard > 4500 && notice.hidden) {
      since.textContent = new Date(heard).toLocaleTimeString();
      notice.hidden = false;
    }
  }, 500);
}());
