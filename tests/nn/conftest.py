"""Networks in tests are small: one thread each is fastest, as tests run side by side."""

import torch

torch.set_num_threads(1)
