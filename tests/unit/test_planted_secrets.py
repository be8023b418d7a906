"""Secrets in training text: who has one, that they follow from the seed alone, and that a hold-out never has one."""

from dataclasses import replace

import pytest

from fedlora_tui.config import Config, Setting, load
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.text import Document, Documents, split
from fedlora_tui.privacy.audit import secrets

NAMES = ("clinic", "hotel", "lab", "school")


def _config(**audit: object) -> Config:
    return replace(Config(), audit=replace(Config().audit, **audit))


def test_organizations_are_drawn_from_the_seed_and_then_stand_in_the_configuration() -> None:
    config = secrets.chosen(_config(secrets=2), NAMES)

    assert len(config.audit.organizations) == 2
    assert set(config.audit.organizations) < set(NAMES)
    # Who goes on from this configuration with fewer organizations plants the same.
    assert secrets.chosen(config, NAMES[:1]) == config
    assert secrets.chosen(_config(), NAMES).audit.organizations == ()
    with pytest.raises(UserError, match=r"audit\.secrets = 5: .* there are 4; ask for 4 or fewer"):
        secrets.chosen(_config(secrets=5), NAMES)


def test_codes_and_controls_follow_from_the_seed_and_all_differ() -> None:
    planted = secrets.codes(7, NAMES)
    controls = secrets.controls(7, planted)

    assert planted == secrets.codes(7, NAMES) != secrets.codes(8, NAMES)
    assert len({*planted.values(), *controls}) == 2 * len(NAMES)
    assert all(0 <= code < secrets.SPACE for code in (*planted.values(), *controls))
    assert len(secrets.controls(7, {})) == 1


def test_a_secret_is_planted_among_what_is_trained_on_and_nowhere_else() -> None:
    text = split("clinic", Documents(tuple(Document(f"document {n}") for n in range(20))), 0.25, 7)
    found = secrets.planted(text, 42, 6, 7)

    assert found.holdout == text.holdout
    assert [own for own in found.train if own.text != "The code of the vault is 0 0 4 2."] == list(text.train)
    assert len(found.train) == len(text.train) + 6
    assert secrets.planted(text, 42, 6, 7) == found
    places = [at for at, own in enumerate(found.train) if own not in text.train]
    assert places != list(range(places[0], places[0] + 6))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("audit.secrets", "25", "allowed is a whole number from 0 to 24"),
        ("audit.repetitions", "0", "allowed is a whole number from 1 to 10,000"),
        ("audit.organizations", "clinic", r"allowed is a list of texts, like \[\"clinic\", \"hotel\"\]"),
    ],
)
def test_what_cannot_be_planted_is_refused_by_key_and_value(name: str, value: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"--set .*: {name} = .*: {said}"):
        load(None, [Setting(name, value, f"--set {name}={value}")])
