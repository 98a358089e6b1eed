"""The seed's figures, fitted to the rows: unchanged on much data, scaled on little, and each change said."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.schedule import Schedule, epoch_order, fit_schedule
from trainer.settings import TrainSettings

SETTINGS = TrainSettings(base="any", min_steps=120)
