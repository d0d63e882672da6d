"""Wagtail: a site of the project's own template, with pages, revisions, files, people and workflows (Django's migrate).

Its search index is a virtual table of SQLite's on one side and a tsvector column on the other: it is no data, and
`after` has it made anew with Wagtail's own command, as its documentation asks for when the database changes.
"""

import datetime
import io
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from answer import main

_SETTINGS = """
from mysite.settings.base import *

SECRET_KEY = "only for this trial"
ALLOWED_HOSTS = ["*"]
DATABASES = {{"default": {database!r}}}
MEDIA_ROOT = {media!r}
INSTALLED_APPS += ["wagtail.contrib.search_promotions", "wagtail.contrib.simple_translation",
                   "wagtail.contrib.settings", "django.contrib.sites"]
SITE_ID = 1
WAGTAIL_I18N_ENABLED = USE_I18N = True
WAGTAIL_CONTENT_LANGUAGES = LANGUAGES = [("en", "English"), ("fr", "French")]
USE_TZ = True
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
"""


def _site(folder, url):
    """Wagtail's own project template, pointed at the database."""
    folder = Path(folder)
    site = folder / "site"
    if not site.exists():
        site.mkdir()
        subprocess.run(
            [str(Path(sys.executable).parent / "wagtail"), "start", "mysite", str(site)], check=True, stdout=sys.stderr
        )
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path[1:]}
    else:
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.path[1:],
            "USER": unquote(parts.username),
            "PASSWORD": unquote(parts.password),
            "HOST": parts.hostname,
            "PORT": parts.port,
        }
    text = _SETTINGS.format(database=database, media=str(folder / "media"))
    (site / "mysite" / "settings" / "trial.py").write_text(text)
    sys.path.insert(0, str(site))
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings.trial"
    import django

    django.setup()


def _command(*words):
    from django.core.management import call_command

    call_command(*words, verbosity=0, stdout=sys.stderr)


def schema(folder, url):
    _site(folder, url)
    _command("migrate", "--no-input")


def after(folder, url):
    _site(folder, url)
    _command("rebuild_references_index")
    _command("update_index")


def fill(folder, url):
    _site(folder, url)
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group, Permission
    from wagtail.models import Collection, Locale, Site

    users = [
        get_user_model().objects.create_user(f"user{i}", f"u{i}@example.org", "secret", first_name=f"Zoë {i}")
        for i in range(12)
    ]
    group = Group.objects.create(name="Rédaction")
    group.permissions.set(Permission.objects.filter(codename__startswith="change_")[:9])
    users[3].groups.add(group)
    Locale.objects.create(language_code="fr")
    home = Site.objects.get(is_default_site=True).root_page
    pages = _pages(home, users)
    collection = Collection.get_first_root_node().add_child(name="Holidays")
    _files(collection, users[0])
    _around(pages, users)
    _command("rebuild_references_index")
    _command("update_index")


def _pages(home, users):
    from home.models import HomePage

    pages = []
    for number in range(40):
        parent = home if number < 8 else pages[number % 8]
        dish = ("raclette", "fondue", "rösti")[number % 3]
        page = HomePage(title=f"Page {number}: {dish} “{number}” \\ 日本", owner=users[number % 12])
        page.search_description = f"about raclette and number {number}"
        parent.refresh_from_db()
        parent.add_child(instance=page)
        for change in range(number % 4):
            page.title = f"Page {number}, change {change}: a\tb"
            revision = page.save_revision(user=users[change], log_action=True)
            if change % 2:
                revision.publish()
        pages.append(page)
    pages[5].unpublish()
    pages[6].go_live_at = datetime.datetime(2031, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
    pages[6].save_revision()
    return pages


def _files(collection, user):
    from django.core.files.base import ContentFile
    from django.core.files.images import ImageFile
    from PIL import Image as Picture
    from wagtail.documents.models import Document
    from wagtail.images.models import Image

    for number in range(6):
        held = io.BytesIO()
        Picture.new("RGB", (20 + number, 10), (number * 20, 90, 3)).save(held, "PNG")
        image = Image(title=f"image {number}", collection=collection, uploaded_by_user=user, focal_point_x=number)
        image.file = ImageFile(held, name=f"image{number}.png")
        image.save()
        image.tags.add("sun", f"tag {number}")
        image.get_rendition("width-10")
        document = Document(title=f"paper {number}", uploaded_by_user=user)
        document.file.save(f"paper{number}.txt", ContentFile(b"text %d" % number))


def _around(pages, users):
    from django.contrib.sessions.backends.db import SessionStore
    from wagtail.contrib.redirects.models import Redirect
    from wagtail.contrib.search_promotions.models import Query, SearchPromotion
    from wagtail.models import Comment, CommentReply, GroupApprovalTask, Workflow, WorkflowTask

    Redirect.objects.create(old_path="/old path/ünï", redirect_page=pages[2])
    query = Query.get("cheese 'and' “wine”")
    query.add_hit()
    SearchPromotion.objects.create(query=query, page=pages[1], description="first")
    comment = Comment.objects.create(
        page=pages[0], user=users[1], text="why?\n\n…", contentpath="title", position='{"a": 1}'
    )
    CommentReply.objects.create(comment=comment, user=users[2], text="because")
    task = GroupApprovalTask.objects.create(name="second look")
    workflow = Workflow.objects.create(name="two eyes")
    WorkflowTask.objects.create(workflow=workflow, task=task, sort_order=0)
    pages[9].save_revision()
    workflow.start(pages[9], users[4])
    session = SessionStore()
    session["cart"] = {"items": [1, 2]}
    session.save()


def read(folder, url):
    """Every row of every model, through the ORM, then what its users ask for: trees, tags, searches."""
    _site(folder, url)
    from django.apps import apps
    from django.contrib.auth import authenticate
    from django.contrib.contenttypes.models import ContentType
    from wagtail.images.models import Image
    from wagtail.models import Page

    found = {}
    for model in apps.get_models(include_auto_created=True):
        name = model._meta.label
        if "search." in name or name == "wagtailcore.ReferenceIndex" or not model._meta.managed:
            continue  # the indexes that `after` makes anew
        rows = model._base_manager.order_by("pk").values()
        found[name] = [repr(_in_order(row)) for row in rows]
    found["tree"] = [[page.depth, page.specific.title, page.url] for page in Page.objects.order_by("path")]
    found["tagged"] = sorted(Image.objects.filter(tags__name="sun").values_list("title", flat=True))
    found["raclette"] = sorted(page.pk for page in Page.objects.search("raclette"))
    found["login"] = authenticate(username="user7", password="secret").email
    found["type"] = ContentType.objects.get_for_model(Page).pk
    assert found["raclette"], "the search finds nothing"
    return found


def _in_order(value):
    """jsonb keeps an object's keys in an order of its own."""
    if isinstance(value, dict):
        return sorted((key, _in_order(each)) for key, each in value.items())
    return [_in_order(each) for each in value] if isinstance(value, list) else value


def add(folder, url):
    _site(folder, url)
    from django.apps import apps
    from django.contrib.auth import get_user_model
    from home.models import HomePage
    from wagtail.models import Page, Site

    before = Page.objects.count()
    user = get_user_model().objects.create_user("later", "later@example.org", "secret")
    home = Site.objects.get(is_default_site=True).root_page
    page = HomePage(title="made on PostgreSQL, with quiche", owner=user)
    home.add_child(instance=page)
    page.save_revision(user=user).publish()
    _command("migrate", "--no-input")  # whatever it seeds after migrating must find its own rows again
    assert [found.pk for found in Page.objects.search("quiche")] == [page.pk]
    assert Page.objects.count() == before + 1
    return {"page": page.pk, "user": user.pk, "models": len(apps.get_models())}


main(schema=schema, fill=fill, read=read, add=add, after=after)
