"""I Hate Money: budgets with people, bills and their history, through its REST API (Alembic, run at its start)."""

import base64
import warnings

from answer import main
from ihatemoney.history import get_history
from ihatemoney.models import Project
from ihatemoney.run import create_app

warnings.simplefilter("ignore")
_PROJECTS = ("raclette", "été à la mer")


class _Settings:
    TESTING = True
    SECRET_KEY = "only for this test"
    SESSION_COOKIE_SECURE = False
    RATELIMIT_ENABLED = False
    MAIL_DEFAULT_SENDER = "a@example.org"
    MAIL_SUPPRESS_SEND = True


def _app(url):
    return create_app(type("Settings", (_Settings,), {"SQLALCHEMY_DATABASE_URI": url}), instance_path="/nowhere")


def _call(client, method, path, data=None, project=""):
    word = base64.b64encode(f"{project}:secret".encode()).decode()
    headers = {"Authorization": f"Basic {word}"} if project else {}
    answer = client.open(f"/api/projects{path}", method=method, data=data, headers=headers)
    assert answer.status_code < 300, (method, path, answer.status_code, answer.get_data(as_text=True)[:500])
    return answer.get_json()


def schema(_folder, url):
    _app(url)


def fill(_folder, url):
    client = _app(url).test_client()
    for name in _PROJECTS:
        project = _new_project(client, name)
        people = [_new_member(client, project, who, i) for i, who in enumerate(("Zoé", "Jürgen", "李", "o'Neil"))]
        for number in range(60):
            _new_bill(client, project, people, number)
        some = _call(client, "GET", f"/{project}/bills", project=project)[10]["id"]
        _call(client, "PUT", f"/{project}/bills/{some}", _bill(people, 99), project)
        _call(client, "DELETE", f"/{project}/bills/{some + 1}", project=project)
        _call(client, "DELETE", f"/{project}/members/{people[3]}", project=project)


def _new_project(client, name):
    data = {"name": name, "id": name, "password": "secret", "contact_email": "a@example.org", "default_currency": "XXX"}
    return _call(client, "POST", "", data)


def _new_member(client, project, name, weight):
    return _call(client, "POST", f"/{project}/members", {"name": name, "weight": weight / 3 + 1}, project)


def _bill(people, number):
    return {
        "date": f"2024-02-{number % 28 + 1:02d}",
        "what": f"bill {number} — “quoted” \\ tab\t",
        "payer": people[number % 3],
        "payed_for": people[: number % 3 + 1],
        "amount": f"{number * 1.37 + 0.1:.2f}",
        "bill_type": ("Expense", "Reimbursement")[number % 7 == 0],
        "original_currency": "XXX",
        "external_link": "https://example.org/?a=1&b=2" if number % 2 else "",
    }


def _new_bill(client, project, people, number):
    return _call(client, "POST", f"/{project}/bills", _bill(people, number), project)


def read(_folder, url):
    app = _app(url)
    client = app.test_client()
    found = {}
    with app.app_context():
        names = sorted(each.id for each in Project.query.all())
    for name in names:
        if name == "made-later":
            continue
        paths = (f"/{name}", f"/{name}/members", f"/{name}/bills", f"/{name}/statistics")
        found[name] = [_call(client, "GET", path, project=name) for path in paths]
        with app.test_request_context():
            found[f"history of {name}"] = sorted(map(_plain, get_history(Project.query.get(name))))
    return found


def _plain(item):
    """One entry of the history; who owes is a relation that the application reads in no order."""
    if item["bill_details"]:
        item["bill_details"]["owers"].sort()
    return repr(sorted(item.items(), key=str))


def add(_folder, url):
    client = _app(url).test_client()
    project = _new_project(client, "made later")
    person = _new_member(client, project, "Eve", 1)
    bill = _new_bill(client, project, [person, person, person], 1)
    return {"person": person, "bill": bill, "bills": len(_call(client, "GET", f"/{project}/bills", project=project))}


main(schema=schema, fill=fill, read=read, add=add)
