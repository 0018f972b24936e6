"""Which worker a process is, from TF_CONFIG."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.shared.errors import StepError
from components.train.distributed.cluster import Cluster, tf_config_of_pod

WORKERS = ["a:1", "b:1", "c:1"]


def read(monkeypatch: pytest.MonkeyPatch, config: object) -> Cluster:
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    return Cluster.from_environment()


def test_without_tf_config_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    cluster = Cluster.from_environment()
    assert (cluster.size, cluster.index, cluster.chief) == (1, 0, True)


def test_first_worker_is_the_chief(monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(3):
        task = {"type": "worker", "index": index}
        cluster = read(monkeypatch, {"cluster": {"worker": WORKERS}, "task": task})
        assert (cluster.size, cluster.index, cluster.chief) == (3, index, index == 0)


def test_chief_that_is_set_apart_counts_as_the_first_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    chief = read(monkeypatch, {"cluster": machines, "task": {"type": "chief", "index": 0}})
    last = read(monkeypatch, {"cluster": machines, "task": {"type": "worker", "index": 1}})
    assert chief.chief
    assert (last.index, last.workers) == (2, ("a:1", "b:1", "c:1"))


def task(role: object, index: object = 0) -> dict[str, object]:
    return {"type": role, "index": index}


def test_master_is_an_older_name_of_the_chief(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = {"master": ["m:1"], "worker": ["a:1", "b:1"]}
    chief = read(monkeypatch, {"cluster": machines, "task": task("master")})
    other = read(monkeypatch, {"cluster": machines, "task": task("worker")})
    assert (chief.chief, chief.workers) == (True, ("m:1", "a:1", "b:1"))
    assert (other.chief, other.index) == (False, 1)


def test_tensorflow_reads_what_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = {"master": ["m:1"], "worker": ["a:1"], "evaluator": ["e:1"]}
    cluster = read(monkeypatch, {"cluster": machines, "task": task("worker", "0"), "rpc_layer": 1})
    assert json.loads(cluster.tf_config) == {
        "cluster": {"worker": ["m:1", "a:1"]},
        "task": {"type": "worker", "index": 1},
    }
    assert read(monkeypatch, cluster.tf_config) == cluster


@pytest.mark.parametrize("role", ["ps", "evaluator", "Worker", "", None, 1, ["worker"]])
def test_no_other_role_takes_itself_for_the_chief(
    monkeypatch: pytest.MonkeyPatch, role: object
) -> None:
    machines = {"chief": ["m:1"], "worker": ["a:1", "b:1"]}
    with pytest.raises(StepError, match="expected worker, chief or master"):
        read(monkeypatch, {"cluster": machines, "task": task(role)})


@pytest.mark.parametrize(
    "config",
    [
        "no json",
        "[]",
        "7",
        "[" * 100_000,
        {"cluster": {}},
        {"cluster": None, "task": task("worker")},
        {"cluster": [], "task": task("worker")},
        {"cluster": {"worker": WORKERS}},
        {"cluster": {"worker": WORKERS}, "task": {"type": "worker"}},
        *({"cluster": {"worker": WORKERS}, "task": task("worker", i)} for i in (3, -1, 10**30)),
        *({"cluster": {"worker": WORKERS}, "task": task("worker", i)} for i in (0.0, True, None)),
        *(
            {"cluster": {"worker": WORKERS}, "task": task("worker", i)}
            for i in ("", "-1", "\u0660")
        ),
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1e999}}',
        {"cluster": {"worker": WORKERS}, "task": task("chief")},
        {"cluster": {"worker": WORKERS, "ps": ["p:1"]}, "task": task("worker")},
        {"cluster": {"worker": WORKERS, "chief": ["a:1"]}, "task": task("worker")},
        {"cluster": {"worker": WORKERS, "chief": ["x:1", "y:1"]}, "task": task("worker")},
        {
            "cluster": {"worker": WORKERS, "chief": ["x:1"], "master": ["y:1"]},
            "task": task("chief"),
        },
        {"cluster": {"worker": "abc"}, "task": task("worker")},
        {"cluster": {"worker": {"0": "a:1"}}, "task": task("worker")},
        *({"cluster": {"worker": ["b:1", w]}, "task": task("worker")} for w in (1, None, ["a:1"])),
        *({"cluster": {"worker": ["b:1", w]}, "task": task("worker")} for w in ("a", "a:", ":1")),
        *({"cluster": {"worker": ["b:1", w]}, "task": task("worker")} for w in ("a:0", "a:65536")),
        *({"cluster": {"worker": ["b:1", w]}, "task": task("worker")} for w in ("a b:1", "a:1\n")),
        *({"cluster": {"worker": ["b:1", w]}, "task": task("worker")} for w in ("b:1", "[::1:2")),
    ],
)
def test_unusable_tf_config_is_refused(monkeypatch: pytest.MonkeyPatch, config: object) -> None:
    with pytest.raises(StepError, match=r"^TF_CONFIG: "):
        read(monkeypatch, config)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("a:1"),
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cluster", "task", "worker", "chief", "type", "index"]), part
        )
    ),
)
CONFIGS = st.fixed_dictionaries(
    {
        "cluster": JSON | st.fixed_dictionaries({"worker": JSON}),
        "task": JSON | st.fixed_dictionaries({"type": st.just("worker") | JSON, "index": JSON}),
    }
)


@pytest.mark.fuzz
@given(CONFIGS.map(json.dumps) | JSON.map(json.dumps) | st.text())
def test_any_tf_config_is_read_or_refused(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv("TF_CONFIG", text)
        except (ValueError, UnicodeError):
            return  # the system takes no such variable
        try:
            cluster = Cluster.from_environment()
        except StepError as error:
            assert str(error).startswith("TF_CONFIG: ")
        else:
            assert 0 <= cluster.index < cluster.size


@pytest.mark.parametrize("index", range(3))
def test_every_pod_of_a_trainjob_names_the_same_workers_and_itself(
    monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    pods = tuple(f"mnist-1-node-0-{number}.mnist-1:2222" for number in range(3))
    assert read(monkeypatch, tf_config_of_pod("mnist-1", 3, index)) == Cluster(pods, index)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_pod_outside_the_trainjob_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 2"):
        tf_config_of_pod("mnist-1", 3, index)
