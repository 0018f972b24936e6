"""Which worker a process is, from TF_CONFIG."""

import json

import pytest

from components.shared.errors import StepError
from components.shared.manifests import Shard
from components.train.cluster import Cluster

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


@pytest.mark.parametrize(
    "config",
    [
        "no json",
        "[]",
        {"cluster": {}},
        {"cluster": {"worker": WORKERS}, "task": {"type": "worker"}},
        {"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": 3}},
    ],
)
def test_unusable_tf_config_is_refused(monkeypatch: pytest.MonkeyPatch, config: object) -> None:
    with pytest.raises(StepError, match=r"^TF_CONFIG: "):
        read(monkeypatch, config)


def test_workers_share_the_shards_between_them() -> None:
    shards = [Shard(file=str(i), records=1, bytes=0, sha256="0" * 64) for i in range(7)]
    shares = [Cluster(("a", "b", "c"), index).share(shards) for index in range(3)]
    assert sorted(shard.file for share in shares for shard in share) == list("0123456")
    assert {len(share) for share in shares} == {2, 3}
