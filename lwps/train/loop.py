"""The loop: batches through a placed step, then loss and accuracy through a placed evaluation."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from lwps import optim, tracing
from lwps.api import Jitted, default_machine, jit
from lwps.data import Examples, eval_batches
from lwps.nn import Layer
from lwps.plan import Plan
from lwps.runtime.machine import Machine
from lwps.train.resume import Origin, described, plan_to_go_on_with, restored, software
from lwps.train.saver import Saver
from lwps.train.settings import Evaluation, Note, Progress, Report, Result, Settings
from lwps.train.state import State, first_state, input_aval, key_of
from lwps.train.steps import draws, evaluate_step_of, train_step_of

DONATED = (0, 1, 2)  # params, state, opt_state


def cosine(steps: int, peak: float) -> np.ndarray:
    """Learning rates float32[steps] that rise over the first twentieth and fall towards 0 along half a cosine."""
    warm = max(1, steps // 20)
    rise = optim.linear_schedule(peak / warm, peak, max(1, warm - 1))
    fall = optim.cosine_decay_schedule(peak, max(1, steps - warm))
    schedule = optim.join_schedules((rise, fall), (warm,))
    return np.asarray(schedule(np.arange(steps, dtype=np.int32)))


def _warn(text: str) -> None:
    warnings.warn(f"train: {text}", stacklevel=3)


def train(
    model: Layer,
    dataset: Examples,
    settings: Settings,
    machine: Machine | None = None,
    report: Report = lambda progress: None,
    *,
    saver: Saver | None = None,
    resume: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    note: Note = _warn,
    plan: Plan | None = None,
) -> Result:
    """Train `model` on `dataset` and measure loss and accuracy on the test examples.

    Deterministic for one seed, machine and placement. `report` is called after every step.

    - `saver`: writes checkpoints, the last one at the end
    - `resume`: a checkpoint to go on from, with its plan, to the bits that training without a break would have come to;
      CheckpointError names what differs from it
    - `stop`: once it says so training ends after the step, is saved, and is not evaluated
    - `note`: gets lines for people: a checkpoint that could not be written, a plan that could not be kept
    - `plan`: places the training step instead of `settings.placement`
    """
    machine = machine or default_machine()
    _check_batch(dataset, settings)
    state = first_state(model, dataset, settings)
    task = _task(model, dataset, settings, state)
    if resume is not None:
        state, origin = restored(resume, state, settings, dataset, saver.about if saver else {})
        if plan is None and state.step < task.steps:
            traced = tracing.trace(task.step, *task.args(state), donate_argnums=DONATED)
            plan, lines = plan_to_go_on_with(origin, settings, traced, machine)
            for line in lines:
                note(line)
    step = jit(task.step, placement=plan or settings.placement, donate_argnums=DONATED, machine=machine)
    start = state.step
    train_s = _steps(task, step, state, report, saver, stop, note)
    if saver and state.step > start:
        saver.save(state, _origin(task, state, saver, step), note)
    done = state.step == task.steps
    return Result(
        losses=tuple(state.losses),
        done=state.step,
        steps=task.steps,
        test=evaluate(model, state.params, state.state, dataset, settings, machine) if done else None,
        per_s=max(0, state.step - start - 1) * task.per_step / max(train_s, 1e-9),
        train_s=train_s,
        step=step,
        params=state.params,
        state=state.state,
        checkpoint=saver.latest if saver else None,
    )


@attrs.frozen(eq=False)
class _Task:
    """What does not change from step to step."""

    dataset: Examples
    settings: Settings
    step: Callable[..., Any]  # the pure function
    steps: int
    per_epoch: int
    per_step: int  # labels in a batch
    draws: bool
    lrs: np.ndarray  # of all steps

    def args(self, state: State) -> tuple[Any, ...]:
        """The arguments of the step that follows."""
        batch = self.dataset.batch(state.step, self.settings.batch, self.settings.seed)
        key = (key_of(self.settings, state.step),) if self.draws else ()
        return (state.params, state.state, state.opt_state, *batch, self.lrs[state.step], *key)


def _check_batch(dataset: Examples, settings: Settings) -> None:
    if settings.batch > dataset.count:
        what = f"{dataset.count} training {'images' if dataset.unit == 'images' else 'windows'}"
        raise ValueError(f"train: the batch must be at most the {what}, got {settings.batch}")


def _task(model: Layer, dataset: Examples, settings: Settings, state: State) -> _Task:
    per_epoch = dataset.count // settings.batch
    steps = settings.steps or settings.epochs * per_epoch
    return _Task(
        dataset=dataset,
        settings=settings,
        step=train_step_of(model, settings.optimizer_of),
        steps=steps,
        per_epoch=per_epoch,
        per_step=dataset.batch(0, settings.batch, settings.seed)[1].size,
        draws=draws(model, state.params, state.state, input_aval(dataset, settings.batch)),
        lrs=cosine(steps, settings.lr),
    )


def _steps(
    task: _Task,
    step: Jitted,
    state: State,
    report: Report,
    saver: Saver | None,
    stop: Callable[[], bool],
    note: Note,
) -> float:
    """Train `state` to the end or until `stop` says so; seconds behind the first step, which measures and compiles."""
    start, begin = state.step, time.perf_counter()
    while state.step < task.steps:
        n = state.step
        state.params, state.state, state.opt_state, loss, right = step(*task.args(state))
        state.losses.append(float(loss))
        state.step += 1
        if n == start:
            begin = time.perf_counter()
        rate = (n - start) * task.per_step / max(time.perf_counter() - begin, 1e-9)
        accuracy = int(right) / task.per_step
        epoch, lr = n // task.per_epoch, float(task.lrs[n])
        report(Progress(state.step, task.steps, epoch, state.losses[-1], accuracy, lr, rate, time.time()))
        if saver and saver.due(state.step):
            saver.save(state, _origin(task, state, saver, step), note)
        if stop():
            break
    return time.perf_counter() - begin


def _origin(task: _Task, state: State, saver: Saver, step: Jitted) -> Origin:
    return Origin(
        step=state.step,
        steps=task.steps,
        settings=task.settings,
        data=described(task.dataset),
        about=saver.about,
        plan=step.compiled.plan,
        software=software(),
    )


def evaluate(
    model: Layer, params: Any, state: Any, dataset: Examples, settings: Settings, machine: Machine | None = None
) -> Evaluation:
    """Mean loss, and the share of right answers, over all test examples."""
    step = jit(evaluate_step_of(model), placement=settings.placement, machine=machine)
    loss, right, count = 0.0, 0, 0
    for inputs, labels, mask in eval_batches(dataset, settings.batch):
        one_loss, one_right = step(params, state, inputs, labels, mask)
        loss, right, count = loss + float(one_loss), right + int(one_right), count + int(mask.sum())
    return Evaluation(loss / count, right / count)
