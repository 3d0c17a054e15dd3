"""Networks in tests are small: one thread each is faster than several, and tests run side by side."""

import torch

torch.set_num_threads(1)
