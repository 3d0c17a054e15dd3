"""Three lines make a model sparse that nobody here wrote, in a loop that nobody here wrote.

The model is the transformer that PyTorch Lightning ships as its demo, the loop is Lightning's own
Trainer, the text is Python's help. Run it with

    pip install pytorch-lightning
    python examples/lightning_three_lines.py

The three lines are marked. Without them the demo trains as it comes.
"""

import tempfile
from pathlib import Path
from pydoc_data.topics import topics

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.demos.transformer import LightningTransformer, WikiText2
from torch.utils.data import DataLoader

import gossamer as gs

STEPS = 150


class Demo(LightningTransformer):
    """The demo, with its optimiser made sparse; its text is given, not downloaded."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self.sparse = gs.nn.sparsify(self, {"*": gs.L1(1e-5)}, keep=0.1, total_steps=STEPS)  # 1
        return self.sparse.attach(super().configure_optimizers())  # 2

    def prepare_data(self) -> None:
        pass


def words(folder: Path, count: int = 12) -> WikiText2:
    """Some of Python's help texts as the demo's data set."""
    chosen = sorted(topics.values(), key=len)[-count:]
    (folder / "wikitext-2.txt").write_text("\n".join(chosen), encoding="utf-8")
    return WikiText2(folder, download=False)


def main(steps: int = STEPS) -> Demo:
    """Train the demo and print what is left of it."""
    with tempfile.TemporaryDirectory() as folder:
        data = words(Path(folder))
    torch.manual_seed(0)
    model = Demo(data.vocab_size)
    trainer = Trainer(
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(model, DataLoader(data, batch_size=16, shuffle=True))
    print(model.sparse.finalise())  # 3
    return model


if __name__ == "__main__":
    main()
