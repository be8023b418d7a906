"""Flower's ClientApp of a node: the same training, measuring and answering as in one process, for one organization.

Every message is judged by the node's own policy and written into its ledger, where its SuperNode names them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedlora_tui.engine.willing import asked_of
from fedlora_tui.errors import UserError
from fedlora_tui.federation.client_app import ClientSide, answered, evaluate_messages, train_messages
from fedlora_tui.federation.introduction import ACTION, LONGEST_POLICY, introduction_reply
from fedlora_tui.federation.parcels import in_parcels
from fedlora_tui.federation.secure_organization import answer_query
from fedlora_tui.node.asking import Judge, announced
from fedlora_tui.node.home import HOMES, ORGANIZATION, Home
from fedlora_tui.node.recording import Recording, recorded
from fedlora_tui.node_policy import EVERYTHING, NodePolicy, load_policy, refusal, words

POLICY, JOURNAL = "policy", "journal"
"""Keys of a SuperNode's own configuration: the file of its policy, the folder of its ledger; both may be missing."""

Answer = Callable[[Message, Context, Recording | None], Message]

app = ClientApp(mods=[in_parcels])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train where the policy allows it, and send what may travel."""
    return _recorded(message, context, lambda *call: train_messages(_side(*call), [message], [context])[0])


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure the hold-out where the policy allows it."""
    return _recorded(message, context, lambda *call: evaluate_messages(_side(*call), [message], [context])[0])


@app.query()
def query(message: Message, context: Context) -> Message:
    """Take part in a stage of a secure sum."""
    return _recorded(message, context, lambda message, context, recording: answer_query(message, context))


@app.query(ACTION)
def introduce(message: Message, context: Context) -> Message:
    """Say who this is, and in short what its policy limits; a run that this forbids asks for nothing more."""

    def introduction(message: Message, context: Context, recording: Recording | None) -> Message:
        home, policy = _home(context), _policy(context)
        said = replace(home.introduction(), policy=words(policy)[:LONGEST_POLICY])
        reason = refusal(policy, asked_of(home.config, said))
        if reason is not None and recording is not None:
            recording.refused(reason)
        return introduction_reply(message, said)

    return _recorded(message, context, introduction)


def _recorded(message: Message, context: Context, answer: Answer) -> Message:
    """Answer a message; what is refused or not set up, too, stands in the ledger."""
    folder = str(context.node_config.get(JOURNAL, ""))

    def answer_with(recording: Recording | None) -> Message:
        return answered(message, partial(_set_up, answer, message, context, recording))

    return recorded(Path(folder) if folder else None, message, context, answer_with)


def _set_up(answer: Answer, message: Message, context: Context, recording: Recording | None) -> Message:
    """Answer a message; where the node is not set up for it, write down why. Raises UserError then."""
    try:
        return answer(message, context, recording)
    except UserError as unfit:
        if recording is not None:
            recording.not_set_up(str(unfit))
        raise


def _side(message: Message, context: Context, recording: Recording | None) -> ClientSide:
    """Give what trains and measures here: judged by the policy, watched by who writes the ledger."""
    home, policy = _home(context), _policy(context)
    side = home.side()
    judge = Judge(
        policy,
        announced(home.config),
        rows=lambda: len(side.rows(home.organization).train),
        trained=lambda: recording.trained_before() if recording is not None else 0,
    ).refusal
    return replace(
        side,
        observer=side.observer if recording is None else recording,
        masked_only=side.masked_only or policy.privacy.secure_sum,
        allows=judge if recording is None else recording.allows(judge),
    )


def _home(context: Context) -> Home:
    home = HOMES.of(context.node_config, context.run_config)
    # In Flower's simulation a node knows its place alone.
    context.node_config[ORGANIZATION] = home.organization
    return home


def _policy(context: Context) -> NodePolicy:
    """Read the node's policy. Raises UserError where it cannot be read: then nothing is done."""
    file = str(context.node_config.get(POLICY, ""))
    return load_policy(Path(file)) if file else EVERYTHING
