"""A cluster of two Ray nodes on this machine: a head and a worker with one processor each."""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

from tests.obedient import obey


def main(folder: str) -> None:
    """Tell the cluster's address, kill the worker, or add another one."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "temp_dir": folder, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)

    def kill() -> None:
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    def add() -> None:
        cluster.add_node(num_cpus=1)

    obey({"address": lambda: cluster.address, "kill": kill, "add": add})
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
