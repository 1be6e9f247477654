"""Which commands are there, and what becomes of what they raise?"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from milepost import __version__
from milepost.cli import acting, deliver, key, migrate, reading, result, serve, start, watch, webhook, worker
from milepost.cli.exits import CommandError, Exit
from milepost.cli.options import examples
from milepost.cli.terminal import note, on_one_line, say

app = typer.Typer(
    name="milepost",
    help="Gives a long-running operation an address: start it, watch it, stop it, fetch its result.",
    epilog=examples(
        "milepost serve tasks.py",
        "milepost start export export_index=wallet-ledger --watch",
        "MILEPOST_URL=http://127.0.0.1:9000 milepost list",
    ),
    rich_markup_mode=None,  # plain help: it can be searched and copied, and costs no import of Rich's Markdown
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def milepost(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Decide what to do where no command is named."""
    if version:
        say(f"milepost {__version__}")
    elif context.invoked_subcommand is None:
        say(context.get_help())


app.command(epilog=serve.EXAMPLES, short_help="Serve task types over HTTP, and run their tasks.")(serve.serve)
app.command(epilog=worker.EXAMPLES, short_help="Run tasks beside a server on the same store.")(worker.worker)
app.command(epilog=start.EXAMPLES)(start.start)
app.command(epilog=deliver.EXAMPLES, short_help="Hand data or files to a standing task.")(deliver.deliver)
app.command(epilog=watch.EXAMPLES, short_help="Follow a task to its end.")(watch.watch)
app.command(epilog=reading.GET_EXAMPLES)(reading.get)
app.command(epilog=reading.LIST_EXAMPLES, name="list")(reading.list_tasks)
app.command(epilog=reading.LOGS_EXAMPLES)(reading.logs)
app.command(epilog=result.EXAMPLES)(result.result)
app.command(epilog=reading.TYPES_EXAMPLES, short_help="List what can be started.")(reading.types)
app.command(epilog=acting.CANCEL_EXAMPLES, short_help="Stop tasks for good.")(acting.cancel)
app.command(epilog=acting.PAUSE_EXAMPLES, short_help="Hold tasks, or a whole type of them.")(acting.pause)
app.command(epilog=acting.RESUME_EXAMPLES, short_help="Let paused tasks, or a type, go on.")(acting.resume)
app.command(epilog=acting.RETRY_EXAMPLES, short_help="Let failed or cancelled tasks begin again.")(acting.retry)
app.command(epilog=acting.RM_EXAMPLES, short_help="Delete finished tasks, with logs and results.")(acting.rm)
app.command(epilog=migrate.EXAMPLES, short_help="Bring a store's schema up to date.")(migrate.migrate)
app.add_typer(key.app, name="key", help="Make, list and revoke keys.")
app.add_typer(webhook.app, name="webhook", help="What callbacks are signed with.")


def run(arguments: Sequence[str]) -> int:
    """Run a command; its exit code. What goes wrong is a line on stderr."""
    try:
        return int(app(list(arguments), prog_name="milepost", standalone_mode=False) or Exit.DONE)
    except CommandError as error:
        note(f"milepost: {error}")
        return error.code
    except typer.TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "milepost")
        # Its parts come from several places, and some without an end.
        what = error.format_message().strip().replace("Value error, ", "")
        note(f"milepost: {what}{'' if what.endswith(('.', '?')) else '.'} See `{command} --help`.")
        return error.exit_code
    except UnicodeEncodeError as error:
        note(f"milepost: {error.object!a} can't be written as {error.encoding}.")
        return Exit.USAGE
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        note(
            f"milepost: The server did not answer as Milepost does ({on_one_line(str(error))}). Is MILEPOST_URL right?"
        )
        return Exit.UNREACHABLE
    except typer.Abort:  # Ctrl-C, or the end of the input, where a question was asked
        return Exit.INTERRUPTED
