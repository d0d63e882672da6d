"""JupyterHub: a real hub on a port of this machine, asked through its REST API (create_all, stamped for Alembic)."""

import sys
import urllib.parse
from pathlib import Path

from answer import main
from serving import call, free_port, running

_TOKEN = "0123456789abcdef" * 4  # of a service of this trial, on this machine alone
_CONFIG = """
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):  # nobody's notebook is served here
    should_start = False
    async def add_route(self, routespec, target, data): pass
    async def delete_route(self, routespec): pass
    async def get_all_routes(self): return {{}}

c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.db_url = {url!r}
c.JupyterHub.hub_port = {port}
c.JupyterHub.bind_url = 'http://127.0.0.1:{other}'
c.JupyterHub.cookie_secret_file = {secret!r}
c.JupyterHub.authenticator_class = 'dummy'
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{'boss'}}
c.JupyterHub.spawner_class = 'simple'
c.JupyterHub.services = [{{'name': 'trial', 'api_token': {token!r}}},
                         {{'name': 'oauth', 'api_token': {token!r}[::-1], 'oauth_client_id': 'service-oauth',
                           'oauth_redirect_uri': 'http://127.0.0.1/callback'}}]
c.JupyterHub.load_roles = [{{'name': 'all', 'services': ['trial'],
                             'scopes': ['admin:users', 'admin:groups', 'tokens', 'list:services', 'shares',
                                        'read:roles', 'admin:servers', 'read:hub']}},
                           {{'name': 'helpers', 'groups': ['physics'], 'scopes': ['list:users']}}]
c.JupyterHub.load_groups = {{'physics': {{'users': [], 'properties': {{'quota': 3, 'tags': ['a', None]}}}}}}
"""


class _Hub:
    def __init__(self, folder, url):
        self.folder, port = Path(folder), free_port()
        self.base = f"http://127.0.0.1:{port}/hub/api"
        self.config = self.folder / "jupyterhub_config.py"
        secret = str(self.folder / "cookie_secret")
        self.config.write_text(_CONFIG.format(url=url, port=port, other=free_port(), secret=secret, token=_TOKEN))

    def running(self):
        return running([sys.executable, "-m", "jupyterhub", "-f", str(self.config)], self.folder, f"{self.base}/")

    def __call__(self, method, path, body=None):
        return call(method, self.base + path, body, {"Authorization": f"token {_TOKEN}"})


def schema(folder, url):
    with _Hub(folder, url).running():
        pass


def fill(folder, url):
    hub = _Hub(folder, url)
    with hub.running():
        names = [f"user{i:03d}" for i in range(80)] + ["Åsa", "o'neil", "李"]
        hub("POST", "/users", {"usernames": names, "admin": False})
        hub("POST", "/groups/chemistry")
        hub("POST", "/groups/physics/users", {"users": names[:20]})
        hub("PUT", "/groups/chemistry/properties", {"deep": {"list": [1, 2.5, "x"]}, "null": None})
        for name in names[:10]:
            hub("POST", f"/users/{name}/tokens", {"note": f"for {name} — \\ ' \"", "expires_in": 3600 * 24 * 365})
        for name in names[5:10]:
            hub("POST", f"/users/{name}/tokens", {"scopes": ["read:users!user"]})


def read(folder, url):
    hub = _Hub(folder, url)
    with hub.running():
        users = hub("GET", "/users")
        tokens = {
            user["name"]: hub("GET", f"/users/{urllib.parse.quote(user['name'])}/tokens")["api_tokens"]
            for user in users
        }
        found = {"users": users, "tokens": tokens, "groups": hub("GET", "/groups"), "services": hub("GET", "/services")}
    for user in users:
        user.pop("last_activity", None)  # the hub touches these at its start
    for each in (token for many in tokens.values() for token in many):
        each.pop("last_activity", None)
    return _in_order(found)


def _in_order(value):
    """Lists of names are sets to the hub: it gives them in any order."""
    if isinstance(value, dict):
        return {key: _in_order(each) for key, each in value.items()}
    if isinstance(value, list):
        ordered = [_in_order(each) for each in value]
        return sorted(ordered) if all(isinstance(each, str) for each in ordered) else ordered
    return value


def add(folder, url):
    hub = _Hub(folder, url)
    with hub.running():
        hub("POST", "/users/later")
        hub("POST", "/groups/later")
        hub("POST", "/groups/later/users", {"users": ["later", "user001"]})
        token = hub("POST", "/users/later/tokens", {"note": "new"})
        return {"token": bool(token["token"]), "groups": hub("GET", "/users/user001")["groups"]}


main(schema=schema, fill=fill, read=read, add=add)
