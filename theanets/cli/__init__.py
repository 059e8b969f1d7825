"""The command ``theanets``: train, predict and look at networks without a line of Python.

It needs the extra ``cli``, which is click, pandas and scikit-learn.
"""

from __future__ import annotations

import os
import sys
from typing import Any

try:
    import click
    import pandas  # noqa: F401
    import sklearn  # noqa: F401
except ImportError as error:
    raise SystemExit(
        f"theanets: the command line needs {error.name}: pip install 'theanets[cli]'"
    ) from None

from .. import __version__
from ..errors import Error, interrupted

#: What the shell is told after Ctrl-C: 128 and the number of the signal.
INTERRUPTED = 130
#: And after the reader of a pipe went away, as `head` does.
BROKEN_PIPE = 141


class Group(click.Group):
    """Commands whose errors are one line."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command."""
        try:
            found = super().invoke(context)
            # What waits in the buffer may find the pipe broken only at the very end.
            sys.stdout.flush()
            return found
        except BrokenPipeError:
            # Nobody reads on. What is flushed when Python ends must not fail again.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            sys.exit(BROKEN_PIPE)
        except (Error, OSError, UnicodeError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise click.ClickException(lines[0]) from error
        except (KeyboardInterrupt, SystemError) as error:
            if not interrupted(error):
                raise
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Neural networks on PyTensor: train, predict, and look at what was saved."""


from . import char_rnn, info, table  # noqa: E402

for _command in (table.train, table.predict, info.info, info.warmup, char_rnn.char_rnn):
    main.add_command(_command)
