"""The front door: reads the command line, picks an engine and a face, nothing else.

Nothing heavy is imported here: the console paints before torch is loaded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlora_tui import __version__, typed_value
from fedlora_tui.config import Config, Setting, load, place_of_key
from fedlora_tui.configuration_options import SHORT_FORMS, with_configuration
from fedlora_tui.errors import UserError
from fedlora_tui.option_parser import Keep, OptionParser
from fedlora_tui.place import look

if TYPE_CHECKING:
    from fedlora_tui.engine.race import Entry

PROGRAM = "fedlora-tui"
CONSOLE = ""
"""The command that is meant when none is named."""

BENCHES = {
    "quality": "how near a federation is to pooling; --methods: what each aggregation method reaches",
    "robust": "what is left of the gain when some organizations send wrong updates on purpose",
    "speed": "tokens a second against other ways to train the same",
    "rounds": "what a round costs by organizations, rank and cohort",
    "console": "how soon a key shows, and what the console costs a run",
    "secure": "what a round costs whose updates are summed unseen, in bytes and seconds",
    "streaming": "what a server holds of a round's replies, kept or added up as they come",
    "deployed": "what a round over Flower's SuperLink costs beside its work",
}


def _with_race(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--race",
        metavar="KEY=VALUE,...",
        action="append",
        default=[],
        help="a run for each value, side by side over one base, like lora.rank=2,4,8 (repeatable: all combinations)",
    )


def _console_parser() -> OptionParser:
    commands = "\n".join(f"  {name:<10} {text}" for name, (_, _, text) in COMMANDS.items() if name != CONSOLE)
    parser = OptionParser(
        PROGRAM,
        commands=COMMANDS,
        usage=f"{PROGRAM} [options]  or  {PROGRAM} COMMAND [options]",
        description="Console over a federated LoRA run that starts at once.",
        epilog=f"commands ({PROGRAM} COMMAND --help says more):\n{commands}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    _with_ascii(parser)
    _with_race(parser)
    with_configuration(parser)
    return parser


def _run_parser() -> OptionParser:
    parser = OptionParser(f"{PROGRAM} run", description="The same run with no terminal: progress on stderr.")
    parser.add_argument("--json", action="store_true", help="put every event on stdout, a line of JSON each")
    parser.add_argument("--wait", action="store_true", help="a run that pauses by itself waits instead of failing")
    _with_detach(parser)
    _with_race(parser)
    with_configuration(parser)
    return parser


def _attach_parser() -> OptionParser:
    parser = OptionParser(f"{PROGRAM} attach", description="Console on a run that goes on in another process.")
    _with_run(parser)
    parser.add_argument("--readonly", action="store_true", help="watch, and never steer")
    _with_ascii(parser)
    _with_runs_dir(parser)
    return parser


def _replay_parser() -> OptionParser:
    parser = OptionParser(
        f"{PROGRAM} replay", description="Console on a run's journal, with no model and nothing to train."
    )
    _with_run(parser, ", or demo")
    parser.add_argument(
        "--speed", type=typed_value.speed, default=1.0, metavar="N", help="how many times as fast, or max (1)"
    )
    _with_ascii(parser)
    _with_runs_dir(parser)
    return parser


def _export_parser() -> OptionParser:
    parser = OptionParser(f"{PROGRAM} export", description="Write a finished round's adapter in PEFT's format.")
    _with_run(parser)
    parser.add_argument(
        "--round", type=typed_value.which_round, default="latest", metavar="latest|best|N", help="which round (latest)"
    )
    parser.add_argument("--org", metavar="NAME", help="an organization's own adapter, where the method keeps one")
    parser.add_argument("--merged", action="store_true", help="a whole model with the adapter merged in")
    parser.add_argument("--out", default="", metavar="DIR", help="folder to write (the run's own exports folder)")
    _with_runs_dir(parser)
    return parser


def _audit_parser() -> OptionParser:
    parser = OptionParser(f"{PROGRAM} audit", description="Attack a finished round's adapter: what does it give away?")
    _with_run(parser)
    parser.add_argument(
        "--round", type=typed_value.which_round, default="latest", metavar="latest|best|N", help="which round (latest)"
    )
    parser.add_argument(
        "--documents",
        type=typed_value.positive,
        default=100,
        metavar="N",
        help="of each organization, trained on and held out (100)",
    )
    parser.add_argument(
        "--samples", type=typed_value.count, default=64, metavar="N", help="texts gone on with (64); 0: none"
    )
    parser.add_argument(
        "--leave-out", default="", metavar="NAME", help="repeat the run with this organization and without it, too"
    )
    parser.add_argument("--runs", type=typed_value.positive, default=20, metavar="N", help="as many of each (20)")
    parser.add_argument("--json", action="store_true", help="print what was found as one JSON object")
    _with_runs_dir(parser)
    return parser


def _resume_parser() -> OptionParser:
    parser = OptionParser(f"{PROGRAM} resume", description="Go on with a run that ended early, to the same result.")
    _with_run(parser)
    _with_face(parser)
    _with_runs_dir(parser)
    return parser


def _fork_parser() -> OptionParser:
    parser = OptionParser(
        f"{PROGRAM} fork", description="Begin a run with a finished round of another one, with changes."
    )
    _with_run(parser)
    parser.add_argument(
        "--round", type=typed_value.positive, required=True, metavar="N", help="the round to begin with"
    )
    _with_face(parser)
    _with_runs_dir(parser)
    shared: dict[str, Any] = {"action": Keep, "dest": "settings", "default": []}
    parser.add_argument("--set", metavar="SECTION.KEY=VALUE", help="change one key (repeatable)", **shared)
    for flag in ("--rounds", "--rank", "--name"):
        name, value, text = SHORT_FORMS[flag]
        parser.add_argument(flag, metavar=value, help=f"{text} ({name})", const=name, **shared)
    return parser


def _with_face(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--console", action="store_true", help="with a console; else as fedlora-tui run does it")
    _with_ascii(parser)
    parser.add_argument("--json", action="store_true", help="put every further event on stdout, a line of JSON each")
    parser.add_argument("--wait", action="store_true", help="a run that pauses by itself waits instead of failing")
    _with_detach(parser)


def _with_run(parser: argparse.ArgumentParser, others: str = "") -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help=f"id or path of a run (the newest by default){others}")


def _with_runs_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs-dir", default=None, metavar="DIR", help="folder of run folders")


def _with_ascii(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ascii", action="store_true", help="draw with plain characters only")


def _with_detach(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detach", action="store_true", help="leave it running in the background; its id is printed")


def _runs_parser() -> OptionParser:
    parser = OptionParser(f"{PROGRAM} runs", description="The runs of a folder, the newest first.")
    parser.add_argument("--json", action="store_true", help="print one JSON object a run, a line each")
    _with_runs_dir(parser)
    return parser


def _doctor_parser() -> OptionParser:
    parser = OptionParser(
        f"{PROGRAM} doctor", description="What this machine has, what would be slow, what is missing."
    )
    parser.add_argument("--data", action="store_true", help="instead, count the text that a run here would train on")
    with_configuration(parser)
    return parser


def _init_parser() -> OptionParser:
    parser = OptionParser(
        f"{PROGRAM} init", description="Put a run together on a screen, and write a commented config.toml."
    )
    parser.add_argument("--out", default="config.toml", metavar="FILE", help="the file to write (config.toml)")
    parser.add_argument("--defaults", action="store_true", help="ask nothing, write the defaults; needs no terminal")
    _with_ascii(parser)
    return parser


def _node_parser() -> OptionParser:
    from fedlora_tui.node_options import with_node_options

    return with_node_options(OptionParser(f"{PROGRAM} node", description="An organization's side of a federation."))


def _bench_parser() -> OptionParser:
    parser = OptionParser(f"{PROGRAM} bench", description="Measure a claim about fedlora-tui on this machine.")
    parser.add_argument(
        "bench", metavar="NAME", choices=tuple(BENCHES), help="; ".join(map(": ".join, BENCHES.items()))
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    with_configuration(parser)
    _with_quality(parser.add_argument_group("quality"))
    _with_speed(parser.add_argument_group("speed"))
    _with_rounds(parser.add_argument_group("rounds"))
    _with_console(parser.add_argument_group("console"))
    return parser


def _with_quality(group: Any) -> None:
    group.add_argument(
        "--seeds",
        type=typed_value.positive,
        default=None,
        metavar="N",
        help="seeds to go through, for robust too (3; robust: 1)",
    )
    group.add_argument(
        "--methods",
        type=typed_value.methods,
        default=(),
        metavar="all|NAME,...",
        help="instead, a run by each of these aggregation methods",
    )
    group.add_argument(
        "--rates",
        type=typed_value.rates,
        default=None,
        metavar="RATE,...",
        help="learning rates to choose from (½, 1, 2 × usual; with --methods the usual one)",
    )
    group.add_argument(
        "--partitions",
        type=typed_value.partitions,
        default=None,
        metavar="KIND,...",
        help="how text is dealt out (natural,iid,quantity; with --methods natural)",
    )


def _with_speed(group: Any) -> None:
    group.add_argument("--batches", type=typed_value.numbers, default=(1, 4), metavar="N,...", help="rows a step (1,4)")
    group.add_argument(
        "--repeats",
        type=typed_value.positive,
        default=5,
        metavar="N",
        help="turns that each way takes; console: its visits (5)",
    )
    group.add_argument(
        "--short-rounds",
        type=typed_value.count,
        default=10,
        metavar="N",
        help="rounds of the short run against Flower's Ray engine (10); 0 leaves it out",
    )
    group.add_argument(
        "--short-length", type=typed_value.positive, default=64, metavar="N", help="tokens a row in it (64)"
    )


def _with_rounds(group: Any) -> None:
    lists: dict[str, Any] = {"type": typed_value.numbers, "metavar": "N,..."}
    group.add_argument("--organizations", help="organizations known (10,100,1000,10000; secure: 8,32)", **lists)
    group.add_argument("--ranks", default=(1, 4, 16, 64), help="ranks (1,4,16,64)", **lists)
    group.add_argument(
        "--cohorts", default=(1, 2, 4, 8, 16), help="organizations a pass (1,2,4,8,16); none leaves a list out", **lists
    )


def _with_console(group: Any) -> None:
    group.description = (
        "--organizations (12,1000): as many as the fewest train a round, and there a console comes and goes, --repeats "
        "times, and rounds with it are compared with those without; --rounds (40) of the runs that are watched"
    )


def _configuration(arguments: argparse.Namespace) -> Config:
    return _loaded(_config_file(arguments.config), arguments.settings)


def _loaded(path: Path | None, settings: Sequence[Setting]) -> Config:
    """Read the configuration, the console's keys with it. Raises UserError."""
    config = load(path, settings)
    if config.console.keys:
        from fedlora_tui.console.actions.remapping import keymap_of

        keymap_of(config.console.keys, lambda action: place_of_key(path, settings, action))
    return config


def _entries(arguments: argparse.Namespace) -> list[Entry]:
    """Give the run that was asked for, or the runs of a race."""
    from fedlora_tui.engine.race import entries

    path = _config_file(arguments.config)
    return entries(arguments.race, lambda settings: _loaded(path, [*arguments.settings, *settings]))


def _config_file(named: str | None) -> Path | None:
    if named is not None:
        return Path(named)
    here = Path("config.toml")
    return here if here.is_file() else None


def _runs_dir(arguments: argparse.Namespace) -> Path:
    """Where runs are: what the flag says, else the configuration that a run here would use."""
    runs = arguments.runs_dir or load(_config_file(None)).runs.dir
    remedy = "name the folder of run folders with --runs-dir"
    place = look(runs, f"{runs}: there can be no runs", remedy)
    if place.exists and not place.is_folder:
        raise UserError(f"{runs}: is no folder; {remedy}")
    return Path(runs)


def _console(arguments: argparse.Namespace) -> int:
    from fedlora_tui.faces import with_console

    return with_console(_entries(arguments), arguments.ascii)


def _attach(arguments: argparse.Namespace) -> int:
    from fedlora_tui.console_run import attach_console
    from fedlora_tui.engine.folder import find, read_config
    from fedlora_tui.engine.listing import summary
    from fedlora_tui.protocol.control_place import found_socket
    from fedlora_tui.protocol.naming import called

    folder = find(_runs_dir(arguments), arguments.run)
    if found_socket(folder) is None and summary(folder).state == "done":
        shown = f"{PROGRAM} replay {called(folder)} shows it"
        raise UserError(f"{folder.name}: no process runs it, for it is done; {shown}")
    config = read_config(folder)
    console = replace(config.console, prompts=_own_prompts())
    return attach_console(folder, replace(config, console=console), arguments.ascii, arguments.readonly)


def _own_prompts() -> tuple[str, ...]:
    """Give the ready texts of the configuration that a run here would use: a run keeps none of them."""
    try:
        return load(_config_file(None)).console.prompts
    except UserError:
        return ()


def _replay(arguments: argparse.Namespace) -> int:
    from fedlora_tui.engine.folder import find
    from fedlora_tui.replay_command import DEMO, demo_folder, replay_console, run_of

    if arguments.run == DEMO:
        # The demo needs nothing from here, not even a configuration that can be read.
        runs = Path(arguments.runs_dir or "runs")
        return replay_console(demo_folder(), runs, arguments.speed, arguments.ascii)
    runs = _runs_dir(arguments)
    return replay_console(find(runs, run_of(arguments.run)), runs, arguments.speed, arguments.ascii)


def _run(arguments: argparse.Namespace) -> int:
    from fedlora_tui.faces import without_console

    _check_face(arguments)
    return without_console(_entries(arguments), arguments)


def _check_face(arguments: argparse.Namespace) -> None:
    """Refuse two faces at once: nothing that was asked for is passed over."""
    console = getattr(arguments, "console", False)
    if console and arguments.detach:
        raise UserError(f"--detach, --console: one of them; {PROGRAM} attach shows a run that was detached")
    if arguments.json and (console or arguments.detach):
        other = "--detach" if arguments.detach else "--console"
        raise UserError(f"{other}, --json: one of them; the events of such a run stand in its events.jsonl")


def _export(arguments: argparse.Namespace) -> int:
    from fedlora_tui.export_command import export

    run = export(_runs_dir(arguments), arguments.run, arguments.round, arguments.org, arguments.merged, arguments.out)
    print(run, flush=True)
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    from fedlora_tui.audit_command import audit
    from fedlora_tui.engine.auditing import Asked

    asked = Asked(arguments.round, arguments.documents, arguments.samples)
    audit(_runs_dir(arguments), arguments.run, asked, arguments.leave_out, arguments.runs, arguments.json)
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    from fedlora_tui.resume_command import continued, finished

    _check_face(arguments)
    runs = _runs_dir(arguments)
    done = finished(runs, arguments.run)
    if done is not None:
        print(f"{PROGRAM}: {done}", file=sys.stderr, flush=True)
        return 0
    return _through(continued(runs, arguments.run), arguments)


def _fork(arguments: argparse.Namespace) -> int:
    from fedlora_tui.resume_command import forked

    _check_face(arguments)
    return _through(forked(_runs_dir(arguments), arguments.run, arguments.round, arguments.settings), arguments)


def _through(given: list[Entry], arguments: argparse.Namespace) -> int:
    """Go through a run with the face that was asked for."""
    from fedlora_tui.faces import with_console, without_console

    return with_console(given, arguments.ascii) if arguments.console else without_console(given, arguments)


def _runs(arguments: argparse.Namespace) -> int:
    from fedlora_tui.runs_command import print_runs

    print_runs(_runs_dir(arguments), arguments.json)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    if arguments.data:
        from fedlora_tui.data_report import WIDEST, print_data_report

        width = None if sys.stdout.isatty() else WIDEST
        print_data_report(Console(width=width), _configuration(arguments))
        return 0

    from fedlora_tui.doctor import print_report

    asked = {"runs.dir": "runs", "model.base": "embedded"}
    refusal = None
    try:
        config = _configuration(arguments)
        asked = {"runs.dir": config.runs.dir, "model.base": config.model.base}
    except UserError as error:
        # The doctor is asked when something is broken; a broken configuration is no reason to stay silent.
        refusal = error
        asked |= {setting.name: setting.text for setting in arguments.settings if setting.name in asked}
    print_report(Console(), asked["runs.dir"], asked["model.base"])
    if refusal is not None:
        raise refusal
    return 0


def _init(arguments: argparse.Namespace) -> int:
    from fedlora_tui.init_command import init

    return init(arguments.out, arguments.defaults, arguments.ascii)


def _deploy_parser() -> OptionParser:
    from fedlora_tui.deploy_command import DESCRIBED

    parser = OptionParser(f"{PROGRAM} deploy", **DESCRIBED)
    parser.add_argument("words", metavar="COMMAND ...", nargs=argparse.REMAINDER)
    return parser


def _deploy(arguments: argparse.Namespace) -> int:
    from fedlora_tui.deploy_command import run_deploy

    return run_deploy(arguments.words, OptionParser)


def _node(arguments: argparse.Namespace) -> int:
    from fedlora_tui.node_command import node

    return node(arguments)


def _bench(arguments: argparse.Namespace) -> int:
    from fedlora_tui.benchmarks.command import Asked, run_bench

    config = _configuration(arguments)
    usual = config.federation.learning_rate
    by_method = bool(arguments.methods)
    rates = arguments.rates or ((usual,) if by_method else (usual / 2, usual, usual * 2))
    partitions = arguments.partitions or (("natural",) if by_method else ("natural", "iid", "quantity"))
    known = {"console": (12, 1000), "secure": (8, 32), "streaming": (50, 200), "deployed": (2,)}.get(
        arguments.bench, (10, 100, 1000, 10_000)
    )
    asked = Asked(
        config,
        seeds=arguments.seeds or (1 if arguments.bench == "robust" else 3),
        rates=rates,
        partitions=partitions,
        methods=arguments.methods,
        batch_sizes=arguments.batches,
        repeats=arguments.repeats,
        short_rounds=arguments.short_rounds,
        short_length=arguments.short_length,
        organizations=known if arguments.organizations is None else arguments.organizations,
        ranks=arguments.ranks,
        cohorts=arguments.cohorts,
    )
    return run_bench(arguments.bench, asked, arguments.json)


Command = tuple[Callable[[], OptionParser], Callable[[argparse.Namespace], int], str]

COMMANDS: dict[str, Command] = {
    CONSOLE: (_console_parser, _console, "console and run, starting at once"),
    "init": (_init_parser, _init, "put a run together on a screen, written as a commented config.toml"),
    "run": (_run_parser, _run, "the same run with no terminal; --json puts every event on stdout"),
    "resume": (_resume_parser, _resume, "go on with a run that was stopped, failed or killed, to the same result"),
    "runs": (_runs_parser, _runs, "the list of runs: state, round, losses; --json: an object a line"),
    "fork": (_fork_parser, _fork, "begin a run with a finished round of another one, with changes"),
    "attach": (_attach_parser, _attach, "console on a run that goes on in another process"),
    "replay": (_replay_parser, _replay, "console on a run's journal, at any speed; demo: one that is here already"),
    "export": (_export_parser, _export, "write a finished round's adapter, or a merged model"),
    "audit": (_audit_parser, _audit, "what a finished round's adapter gives away, by attacks; a report"),
    "deploy": (_deploy_parser, _deploy, "organizations on machines of their own: keys, certificates, checks"),
    "node": (_node_parser, _node, "an organization's side: its SuperNode, its own limits, its ledger of every byte"),
    "bench": (
        _bench_parser,
        _bench,
        "measure a claim here: quality, robust, speed, rounds, console, secure, streaming, deployed",
    ),
    "doctor": (_doctor_parser, _doctor, "what this machine has and what is missing; --data: your text in counts"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit status: 0 done, 1 failed, 2 bad usage, configuration, data or model."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        name = words.pop(0) if words and not words[0].startswith("-") else CONSOLE
        if name not in COMMANDS:
            known = ", ".join(command for command in COMMANDS if command)
            raise UserError(f"{name}: no such command; known are {known}, and none for the console")
        parser, command, _ = COMMANDS[name]
        return command(parser().parse_args(words))
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
