"""Optuna: studies and trials of every state, with parameters, attributes and values that are no plain numbers."""

import warnings

import optuna
from answer import main
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def schema(_folder, url):
    return RDBStorage(url).get_current_version()


def fill(_folder, url):
    storage = RDBStorage(url, heartbeat_interval=60)
    study = optuna.create_study(
        storage=storage, study_name="wide", sampler=optuna.samplers.RandomSampler(seed=7), directions=["minimize"]
    )
    study.set_user_attr("note", "Grüße, 日本 and a \\ backslash")
    study.set_user_attr("nothing", None)
    study.optimize(_objective, n_trials=150, catch=(ValueError,))
    two = optuna.create_study(
        storage=storage,
        study_name="two 'goals'",
        directions=["minimize", "maximize"],
        sampler=optuna.samplers.RandomSampler(seed=8),
    )
    two.optimize(lambda trial: (trial.suggest_float("x", 0, 1), float("inf")), n_trials=20)
    study.enqueue_trial({"x": 0.25})
    return _counts(storage)


def _objective(trial):
    x = trial.suggest_float("x", -1e-7, 1e300)
    n = trial.suggest_int("n", -5, 2**31, log=False)
    kind = trial.suggest_categorical("kind", ["a", None, True, 2, 0.5])
    trial.set_user_attr("kind", {"kind": kind, "n": [n]})
    for step in range(4):
        trial.report(float("nan") if step == 2 else (float("inf") if step == 3 else x * step), step)
    if trial.number % 10 == 3:
        raise optuna.TrialPruned
    if trial.number % 10 == 4:
        raise ValueError("on purpose")
    return x - n


def read(_folder, url):
    storage = RDBStorage(url)
    found = {}
    for study in storage.get_all_studies():
        trials = [_trial(trial) for trial in storage.get_all_trials(study._study_id)]
        attributes = repr(storage.get_study_user_attrs(study._study_id))
        found[study.study_name] = [str(study.directions), attributes, trials]
    return found


def _trial(trial):
    kept = (trial.number, trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs)
    return repr((*kept, trial.system_attrs, trial.intermediate_values, trial.datetime_start, trial.datetime_complete))


def add(_folder, url):
    storage = RDBStorage(url)
    before = _counts(storage)
    study = optuna.load_study(storage=storage, study_name="wide", sampler=optuna.samplers.RandomSampler(seed=9))
    study.optimize(_objective, n_trials=1)
    study.set_user_attr("later", 1)
    another = optuna.create_study(storage=storage, study_name="made on PostgreSQL")
    another.add_trial(
        optuna.trial.create_trial(
            params={"a": 1, "b": "x", "c": 0.5},
            distributions={
                "a": IntDistribution(0, 3),
                "b": CategoricalDistribution(["x"]),
                "c": FloatDistribution(0, 1),
            },
            value=1.0,
        )
    )
    after = _counts(storage)
    assert (
        after["studies"] == before["studies"] + 1 and after["trials"] == before["trials"] + 1
    )  # the other was waiting
    return after


def _counts(storage):
    studies = storage.get_all_studies()
    return {"studies": len(studies), "trials": sum(len(storage.get_all_trials(s._study_id)) for s in studies)}


main(schema=schema, fill=fill, read=read, add=add)
