"""The ``gossamer`` command: thin, over the public API. Nothing heavy is imported before need."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gossamer import __version__
from gossamer.cli.options import Parser, UsageError, add_compress, add_fit, numbers

OK, UNEXPECTED, BAD_INPUT, NOT_CERTIFIED, INTERRUPTED = 0, 1, 2, 3, 130

# Options of every command, and what the parser adds.
_COMMON = {"action", "given", "quiet", "verbose", "debug", "command"}

_EXIT_CODES = """\
exit codes: 0 done, 1 unexpected error, 2 bad usage or input, 3 fitted, but the certificate missed
its tolerance (files are written), 130 interrupted (what could be saved is)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        return _run(given)
    except SystemExit as end:  # of --help and --version
        return int(end.code or OK)
    except BrokenPipeError:  # the reader of the output has gone: no reason to complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        _complain("interrupted before all files were written.")
        return INTERRUPTED
    except (UsageError, ValueError, OSError, ImportError) as error:
        if debug:
            raise
        _complain(str(error) or type(error).__name__)
        return BAD_INPUT
    except Exception as error:
        if debug:
            raise
        _complain(f"unexpected {type(error).__name__}: {error}\nAdd --debug to see where.")
        return UNEXPECTED


def _run(given: list[str]) -> int:
    parser = make_parser()
    if not given:
        parser.print_help()
        return OK
    options = parser.parse_args(given)
    options.given = given
    action: Callable[[argparse.Namespace], int] = options.action
    return action(options)


def _complain(message: str) -> None:
    sys.stderr.write(f"gossamer: {message}\n")


# -- the commands ----------------------------------------------------------------------------------
def _fit(options: argparse.Namespace) -> int:
    from gossamer.report import fit_table

    folder = _writable(options.output)
    own = {"table", "target", "output", *_COMMON}
    asked = {name: value for name, value in vars(options).items() if name not in own}
    asked |= {"progress": _watched(options), "command": ["gossamer", *options.given]}
    return _finish(fit_table(options.table, options.target, **asked), folder, options)


def _demo(options: argparse.Namespace) -> int:
    from gossamer.report import fit_table
    from gossamer.report.demo import TARGET, khan

    folder = _writable(options.output)
    train, test = khan()
    command = ["gossamer", *options.given]
    fitted = fit_table(train, TARGET, test=test, progress=_watched(options), command=command)
    return _finish(fitted, folder, options)


def _finish(fitted: Any, folder: Path, options: argparse.Namespace) -> int:
    """Write the files, show the summary, and tell the outcome as an exit code."""
    from gossamer.report import print_summary

    files = fitted.write(folder)
    if not options.quiet:
        print_summary(fitted.summary, files=[file.name for file in files])
        print(f"\nreport: {files[-1].resolve()}")
    if options.verbose:
        sys.stderr.writelines(f"gossamer: {note}\n" for note in fitted.summary.notes)
    if fitted.interrupted:
        _complain(f"interrupted: what was found so far is in {folder}.")
        return INTERRUPTED
    if not fitted.summary.certificate["holds"]:
        facts = fitted.summary.certificate
        _complain(f"certificate {facts['value']:.1e} misses the tolerance {facts['tol']:.1e}.")
        return NOT_CERTIFIED
    return OK


def _watched(options: argparse.Namespace) -> bool:
    """Whether somebody looks on and wants to see progress."""
    return sys.stderr.isatty() and not options.quiet


def _writable(folder: Path) -> Path:
    """The output folder, made before time is spent on a fit that could not be saved."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or "not possible"
        raise ValueError(
            f"cannot make the folder {folder}: {reason}. Choose another -o."
        ) from error
    if not os.access(folder, os.W_OK):
        raise ValueError(f"cannot write into {folder}. Choose another -o.")
    return folder


def _compress(options: argparse.Namespace) -> int:
    from functools import partial

    _need("torch", "transformers", "safetensors", "jinja2", "matplotlib", "rich")
    from gossamer.nn.language import compress_directory, unfinished
    from gossamer.report.compression import lines, write_compression
    from gossamer.report.progress import progress

    source, folder = options.model, options.output
    own = {"model", "output", "calibration", *_COMMON}
    asked = {name: value for name, value in vars(options).items() if name not in own}
    watch = partial(progress, enabled=_watched(options))
    try:
        done = compress_directory(source, folder, options.calibration, watch=watch, **asked)
    except KeyboardInterrupt:
        if not (folder / unfinished.NAME).exists():
            raise
        _complain(f"interrupted: the same command with --resume goes on with {folder}.")
        return INTERRUPTED
    record = done.to_dict()
    files = write_compression(record, folder, command=["gossamer", *options.given])
    if not options.quiet:
        print("\n".join(lines(record)))
        print(f"\nmodel:  {folder.resolve()}\nreport: {files[-1].resolve()}")
    if options.verbose:
        sys.stderr.writelines(f"gossamer: {note}\n" for note in done.notes)
    return OK


def _need(*packages: str) -> None:
    """Refuse to begin where a package is missing that the end will need."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ImportError(
            f"gossamer compress needs {', '.join(missing)}: pip install 'gossamer[llm,cli]'."
        )


def _predict(options: argparse.Namespace) -> int:
    from gossamer.report.predicting import predict_file

    notes = predict_file(
        options.model, options.table, options.output, offset=options.offset, times=options.times
    )
    if not options.quiet:
        for note in notes:
            _complain(note)
    return OK


def _info(options: argparse.Namespace) -> int:
    from gossamer.report.information import information

    for name, value in information().items():
        print(f"{name:<12} {value}")
    return OK


def _warm(options: argparse.Namespace) -> int:
    import time

    from gossamer.report.progress import progress
    from gossamer.solvers.warm import tiny_problems

    if options.runtime:
        return _warm_runtime(options)
    begun = time.perf_counter()
    problems = tiny_problems(options.everything)
    with progress(len(problems), "compiling", enabled=_watched(options)) as advance:
        for problem in problems:
            problem.solve()
            advance()
    if not options.quiet:
        seconds = time.perf_counter() - begun
        print(f"{len(problems)} kinds of problem are ready, in {seconds:.1f} s.")
    return OK


def _warm_runtime(options: argparse.Namespace) -> int:
    from gossamer.report.progress import progress
    from gossamer.runtime.calibrating import usual_products
    from gossamer.runtime.cost import learn

    products = list(usual_products())
    with progress(len(products), "measuring", enabled=_watched(options)) as advance:
        for layout, product in products:
            learn([product], layout)
            advance()
    if not options.quiet:
        print(f"{len(products)} products of sparse weights are compiled and measured.")
    return OK


# -- the options -----------------------------------------------------------------------------------
def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(
        prog="gossamer",
        description="Sparse models of tables, with a certificate; language models made sparse.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gossamer {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    common = Parser(add_help=False)
    common.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    common.add_argument("--verbose", "-v", action="store_true", help="print every note")
    common.add_argument("--debug", action="store_true", help="show where an error arose")

    def command(name: str, action: Callable[[argparse.Namespace], int], text: str) -> Parser:
        made: Parser = commands.add_parser(name, help=text, description=text, parents=[common])
        made.set_defaults(action=action)
        return made

    add_fit(command("fit", _fit, "fit a table: model, coefficients and report"))
    predict = command("predict", _predict, "predict the rows of a table with a saved model")
    predict.add_argument("model", type=Path, metavar="MODEL", help="a file made by fit")
    predict.add_argument("table", type=Path, metavar="TABLE", help="a CSV, TSV or Parquet file")
    predict.add_argument("-o", "--output", type=Path, metavar="CSV", help="default: print them")
    predict.add_argument("--offset", metavar="COL", help="column added to the linear prediction")
    predict.add_argument(
        "--times", type=numbers, default=(), metavar="T,...", help="survival up to these times"
    )
    add_compress(command("compress", _compress, "make a language model sparse, and judge it"))
    demo = command("demo", _demo, "fit a real table: which genes tell four tumours apart?")
    demo.add_argument("-o", "--output", type=Path, default=Path("gossamer-demo"), metavar="OUT")
    command("info", _info, "versions, cores, cache and what is registered")
    warm = command("warm", _warm, "compile ahead, so that no fit waits for it")
    warm.add_argument("--all", dest="everything", action="store_true", help="every combination")
    warm.add_argument(
        "--runtime", action="store_true", help="the products of sparse networks, and measure them"
    )
    return parser
