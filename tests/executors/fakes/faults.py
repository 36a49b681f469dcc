"""Harm done to tasks on a real Slurm whose nodes are this machine."""

import os
import signal
import subprocess
from pathlib import Path

import yaml
from runs import manifest_of, run_config, wait_for, write_task

from mo_hpc.core.files import read_json, read_lines, write_json
from mo_hpc.executors.activity import activity
from mo_hpc.executors.completion import is_done
from mo_hpc.executors.resubmission import current_states, launch_lock, submit_missing
from mo_hpc.executors.slurm import squeue
from mo_hpc.executors.slurm.executor import SlurmExecutor
from mo_hpc.executors.slurm.ledger import Ledger
from mo_hpc.plan.reconcile import Wish


class Victim:
    """A run on Slurm that things are done to."""

    def __init__(self, run):
        self.run = run
        self.tasks = {}
        self._commands = {}
        self.config = run_config("slurm", retry="default", follow=False)

    def task(self, name, behaviour, **words):
        """Adds a task."""
        self.tasks[name] = write_task(self.run, name, behaviour, **words)
        return self.tasks[name]

    def submit(self, *tasks, site=None, **fields):
        """Submits tasks by themselves, with settings of their own."""
        config = run_config("slurm", site=site, retry="default", **{"follow": False, **fields})
        SlurmExecutor(self.run, config).submit(tasks)

    def save(self):
        """Writes what commands read of a run."""
        write_json(self.run.manifest, manifest_of(self.tasks.values()).model_dump(mode="json"))
        self.run.config.write_text(yaml.safe_dump(self.config.model_dump(mode="json")))

    def launch(self, *, by_hand):
        """What a launch does, or the job that follows the arrays."""
        manifest = manifest_of(self.tasks.values())
        with launch_lock(self.run, patience_s=10):
            specs = list(self.tasks.values())
            return submit_missing(self.run, self.config, manifest, specs, Wish(by_hand=by_hand))

    def states(self):
        """The state of every task now."""
        return current_states(self.run, manifest_of(self.tasks.values()), self.config)

    def harm(self, actions, timeout_s=300):
        """Does something to each task, by its name, as soon as it is at work."""
        left = dict(actions)

        def all_harmed():
            for name in [
                each for each in left if (self.run.task(each).folder / "waiting").exists()
            ]:
                left.pop(name)(name)
            return not left

        wait_for(all_harmed, timeout_s, what=left)

    def wait_done(self, *names, timeout_s=240):
        """Waits for the records of tasks; what Slurm holds back is let go, as launches do."""
        left = set(names)

        def all_done():
            left.difference_update([name for name in left if self.is_done(name)])
            if left:
                squeue.release(activity(self.run).held)
            return not left

        wait_for(all_done, timeout_s, 0.5, lambda: f"{left}\n{queue_in_words()}")

    def is_done(self, name):
        """Whether a task has its record."""
        return is_done(self.run.task(name))

    def starts(self, name):
        """How often the work of a task was begun, by whatever process."""
        return len(read_lines(self.run.task(name).progress))

    def element(self, name):
        """The array element that a task was last submitted as."""
        submission = next(s for s in reversed(self.submissions()) if name in s.tasks)
        return f"{submission.job_id}_{submission.index(name)}"

    def submissions(self):
        """The ledger's."""
        return Ledger(self.run).submissions()

    def account(self, name, attempt=1):
        """What an attempt wrote about itself."""
        return read_json(self.run.task(name).attempt(attempt) / "slurm.json")

    def stderr(self, name, attempt=1):
        """What an attempt and Slurm said."""
        return (self.run.task(name).attempt(attempt) / "stderr").read_text()

    def signal(self, name, number):
        """A person's ``scancel --signal``.

        It is not waited for: where the task is quicker than scancel, that tries again for two
        minutes, and fails.
        """
        command = ["scancel", f"--signal={number}", self.element(name)]
        self._commands[name] = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def _give_up(self, name):
        """Ends a scancel that tries again, before it finds the next start of the task."""
        if command := self._commands.pop(name, None):
            command.kill()
            command.wait()

    def cancel(self, name):
        """A person's ``scancel``."""
        subprocess.run(["scancel", self.element(name)], check=True)

    def release(self, name):
        """Lets an array start that was submitted with a hold."""
        array = self.element(name).partition("_")[0]
        subprocess.run(["scontrol", "release", array], check=True)

    def kill_worker(self, name):
        """``kill -9`` of the process that runs a task."""
        os.kill(self.account(name)["pid"], signal.SIGKILL)

    def kill_srun(self, name):
        """``kill -9`` of the task's parent in the batch script."""
        job = f"SLURM_JOB_ID={self.account(name)['slurm']['job_id']}"
        found = [pid for pid, words in commands() if words[0] == "srun" and job in environment(pid)]
        assert found, "no srun"
        for pid in found:
            kill(pid)

    def kill_stepd(self, name):
        """``kill -9`` of the parent of the worker on its node."""
        step = f"[{self.account(name)['slurm']['job_id']}.0]"
        found = [pid for pid, words in commands() if words[:2] == ["slurmstepd:", step]]
        assert found, "no slurmstepd"
        for pid in found:
            kill(pid)

    def restart_now(self, name, *changes, timeout_s=240):
        """Waits until a task is put back into the queue, and shortens Slurm's two minutes.

        Changes are more of what ``scontrol update`` takes.
        """
        element = self.element(name)
        wait_for(lambda: int(job_field(element, "Restarts")) > 0, timeout_s, 0.5)
        self._give_up(name)
        # A restart in the second of the requeue is refused ("Job credential revoked").
        command = ["scontrol", "update", f"jobid={element}", "StartTime=now+3", *changes]
        subprocess.run(command, check=True)

    def queue(self):
        """This run's rows of the queue."""
        names = {each.name for each in self.submissions()}
        return [row for row in squeue.query() if row.name in names]

    def wait_out_of_queue(self, *names, timeout_s=240):
        """Waits until tasks have left the queue."""

        def gone():
            waiting = {(row.job_id, row.index) for row in self.queue()}
            return not waiting & {tuple_of(self.element(name)) for name in names}

        wait_for(gone, timeout_s, 0.5)

    def clean_up(self):
        """Takes what is left out of the queue."""
        for name in list(self._commands):
            self._give_up(name)
        if job_ids := [each.job_id for each in self.submissions() if each.job_id]:
            subprocess.run(["scancel", *job_ids], check=False)


def tuple_of(element):
    job_id, _, index = element.partition("_")
    return job_id, int(index)


def queue_in_words():
    """The queue and the nodes, for a person who reads why a test failed."""
    commands = (["squeue", "-o", "%i %T %r %N %S"], ["sinfo", "-N", "-l"])
    return "\n".join(
        subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for command in commands
    )


def job_field(job, name):
    """What ``scontrol`` says of a job."""
    shown = subprocess.run(
        ["scontrol", "-o", "show", "job", job], capture_output=True, text=True, check=True
    )
    words = dict(word.partition("=")[::2] for word in shown.stdout.split() if "=" in word)
    return words[name]


def commands():
    """(Process id, words of its command) of all processes."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_text().replace("\0", " ").split()
        except OSError:
            continue
        if words:
            yield int(entry.name), [Path(words[0]).name, *words[1:]]


def environment(pid):
    """The environment of a process, as NAME=value; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_text().split("\0")
    except OSError:
        return []


def kill(pid):
    """``kill -9``; a process that has ended meanwhile is no error."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def all_nodes(*options):
    """Names of the nodes of the cluster, or of those that ``sinfo`` with options lists."""
    command = ["sinfo", "-h", "-N", "-o", "%N", *options]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return sorted(set(listed.stdout.split()))


def idle_nodes(number):
    """Names of nodes on which nothing runs, as many as wanted; fewer where there are not."""
    # The last ones: other work begins with the first.
    return all_nodes("-t", "idle")[-number:]
