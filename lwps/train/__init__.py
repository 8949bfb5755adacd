"""Training: the loop, its checkpoints, its logs, and the jobs of the shell."""

from lwps.train.job import EPOCHS, Job, Session, session
from lwps.train.log import LogError, json_lines, tensorboard
from lwps.train.loop import cosine, evaluate, train
from lwps.train.resume import Origin, origin_of
from lwps.train.sample import sample
from lwps.train.saver import Every, Saver
from lwps.train.settings import DEFAULTS, Evaluation, Note, Progress, Report, Result, Settings
from lwps.train.steps import evaluate_step_of, train_step_of
from lwps.train.stop import stop_on_signals
from lwps.train.trained import Trained, load_trained

__all__ = [
    "DEFAULTS",
    "EPOCHS",
    "Evaluation",
    "Every",
    "Job",
    "LogError",
    "Note",
    "Origin",
    "Progress",
    "Report",
    "Result",
    "Saver",
    "Session",
    "Settings",
    "Trained",
    "cosine",
    "evaluate",
    "evaluate_step_of",
    "json_lines",
    "load_trained",
    "origin_of",
    "sample",
    "session",
    "stop_on_signals",
    "tensorboard",
    "train",
    "train_step_of",
]
