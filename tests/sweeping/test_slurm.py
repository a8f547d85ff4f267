"""submitit's SLURM executor, with a cluster of one node made of four shell scripts."""

from pathlib import Path

import pytest

from nnunetv2_ext.cli.sweep import _executor
from nnunetv2_ext.runs import Run
from nnunetv2_ext.sweeping import queue as module
from nnunetv2_ext.sweeping.queue import Queue
from nnunetv2_ext.sweeping.training import Training

JOB = 77
COMMANDS = {
    "sbatch": f"""cp "$1" "$CLUSTER/submitted.sh"
export SLURM_JOB_ID={JOB} SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0
export SLURM_JOB_NODELIST=localhost
(sh "$CLUSTER/submitted.sh"; touch "$CLUSTER/ended") > "$CLUSTER/output" 2>&1 &
echo "Submitted batch job {JOB}"
""",
    "srun": """while true; do
case "$1" in
--output | --error) shift 2 ;;
-*) shift ;;
*) break ;;
esac
done
exec "$@"
""",
    "sacct": f"""state=RUNNING
[ -e "$CLUSTER/ended" ] && state=COMPLETED
printf 'JobID|State|NodeList\\n{JOB}|%s|localhost\\n' $state
""",
    "scancel": 'echo "$@" > "$CLUSTER/cancelled"',
}


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Path:
    for name, text in COMMANDS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CLUSTER", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return tmp_path


@pytest.fixture
def training(tmp_path) -> Training:
    run = Run(tmp_path / "results", "Dataset001_A", "T", "P", "2d", "0")
    run.summary_file.parent.mkdir(parents=True)
    run.summary_file.write_text("{}")  # somebody else finished it meanwhile, so the job has nothing to do
    return Training(run, "cuda", False, tmp_path / "logs")


def test_a_job_goes_through_the_cluster(cluster, training) -> None:
    executor = _executor(training.log_folder, True, "cuda", {"slurm_partition": "gpu", "slurm_time": 90})
    progress = Queue(executor, at_once=4).train([training], lambda _: None)
    output = (cluster / "output").read_text()
    assert progress.done == [training], output
    script = (cluster / "submitted.sh").read_text()
    for line in ("--gpus-per-node=1", "--partition=gpu", "--time=90", "--job-name=T__P__2d__fold_0", "--signal=USR2@90"):
        assert f"#SBATCH {line}\n" in script


def test_a_job_on_cpus_asks_for_no_gpu(cluster, training) -> None:
    executor = _executor(training.log_folder, True, "cpu", {})
    Queue(executor, at_once=1).train([training], lambda _: None)
    assert "gpus-per-node=0" in (cluster / "submitted.sh").read_text()


def test_an_interruption_cancels_the_job(cluster, training, monkeypatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Queue(_executor(training.log_folder, True, "cuda", {}), at_once=1).train([training], lambda _: None)
    assert (cluster / "cancelled").read_text().strip() == str(JOB)
