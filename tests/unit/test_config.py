"""config.toml and --set: every mistake is one line that names file, line, key, value and what is allowed."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.config import (
    EMBEDDED,
    RULES,
    SECTIONS,
    STARTS_ANEW,
    Config,
    DataConfig,
    FederationConfig,
    ModelConfig,
    Setting,
    load,
    resolved,
    to_literal,
    to_mapping,
    to_toml,
)
from fedlora_tui.errors import UserError


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "config.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def settings_of(*pairs):
    return [Setting(name, text, f"--set {name}={text}") for name, text in pairs]


def refusal(path=None, *pairs):
    with pytest.raises(UserError) as refused:
        load(path, settings_of(*pairs))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_without_a_file_there_are_the_defaults_of_the_contract():
    config = load(None, settings_of(("model.base", "gpt2")))
    assert config == replace(Config(), model=ModelConfig(base="gpt2"), given=frozenset({"model.base"}))
    config = Config()
    assert (config.model.base, config.model.max_length) == ("embedded", 128)
    assert (config.lora.rank, config.lora.alpha, config.lora.target_modules) == (4, 8.0, "auto")
    federation = config.federation
    assert (federation.organizations, federation.rounds, federation.local_steps, federation.batch_size) == (8, 20, 8, 4)
    assert (federation.learning_rate, federation.min_organizations, federation.seed) == (1e-3, 2, 7)
    assert (config.data.source, config.data.holdout, config.data.holdout_tokens) == ("synthetic", 0.1, 4096)
    assert config.given == frozenset()


def test_a_configuration_knows_its_file_and_is_no_other_for_it(file):
    written = file("[lora]\nrank = 4\n")
    assert load(written).file == str(written)
    assert load(None).file == ""
    assert load(written) == replace(load(written), file="")


def test_the_embedded_base_has_defaults_of_its_own_and_what_is_set_wins(file):
    own = load(None)
    for name, value in EMBEDDED.items():
        section, key = name.split(".")
        assert RULES[name].take(value) == value == getattr(getattr(own, section), key)
    assert own.given == frozenset()
    assert replace(own, federation=FederationConfig(), data=DataConfig()) == Config()
    set_by_hand = load(file("[federation]\nbatch_size = 3\n"), settings_of(("data.holdout_tokens", "99")))
    assert (set_by_hand.federation.batch_size, set_by_hand.data.holdout_tokens) == (3, 99)
    assert set_by_hand.federation.learning_rate == EMBEDDED["federation.learning_rate"]
    assert load(file('[model]\nbase = "gpt2"\n')).federation == FederationConfig()


@pytest.mark.parametrize("method", STARTS_ANEW)
def test_the_embedded_base_has_no_servers_step_of_its_own_where_none_can_go_on_from_the_methods_factors(method):
    federation = load(None, settings_of(("federation.aggregation", method))).federation
    plain = FederationConfig(aggregation=method)
    assert federation.rounds == EMBEDDED["federation.rounds"]
    for name in (item.name for item in fields(plain) if item.name.startswith("server_")):
        assert getattr(federation, name) == getattr(plain, name), name


def test_a_file_sets_what_it_names_and_leaves_the_rest(file):
    config = load(file('[lora]\nrank = 8\n[model]\nbase = "gpt2"\n'))
    assert (config.lora.rank, config.model.base, config.lora.alpha) == (8, "gpt2", 8.0)
    assert config.given == {"lora.rank", "model.base"}
    assert load(file("lora = {rank = 16}")).lora.rank == 16
    assert load(file("lora.rank = 16")).lora.rank == 16


# --- what is not allowed

BAD = [
    ("[lora]\nrank = 0", 2, "lora.rank = 0", "a whole number from 1 to 1,024"),
    ("# a comment\n\n[federation]\n\nrounds = -1", 5, "federation.rounds = -1", "a whole number from 1 to"),
    ("[federation]\nfraction = 1.5", 2, "federation.fraction = 1.5", "a number above 0 and up to 1"),
    ("[federation]\nlearning_rate = nan", 2, "federation.learning_rate = nan", "a number above 0"),
    ("[lora]\nalpha = inf", 2, "lora.alpha = inf", "a number above 0"),
    ("[lora]\ndropout = 1.0", 2, "lora.dropout = 1.0", "a number of 0"),
    ('[lora]\nrank = "four"', 2, 'lora.rank = "four"', "a whole number"),
    ("[lora]\nrank = true", 2, "lora.rank = true", "a whole number"),
    ("[lora]\nrank = 4.0", 2, "lora.rank = 4.0", "a whole number"),
    ("[lora]\nrank = [4]", 2, "lora.rank = [4]", "a whole number"),
    ("[lora]\nrank = 1979-05-27", 2, "lora.rank = 1979-05-27", "a whole number"),
    ("[console]\nbell = 1", 2, "console.bell = 1", "true or false"),
    ('[console]\nprompts = "The"', 2, 'console.prompts = "The"', "a list of texts"),
    ('[console]\nprompts = ["The", 2]', 2, 'console.prompts = ["The", 2]', 'a list of texts, like ["Dear Sir'),
    ('[console]\nprompts = [" "]', 2, 'console.prompts = [" "]', "a list of texts"),
    ('[console]\nprompts = ["a\\nb"]', 2, 'console.prompts = ["a', "a list of texts"),
    ("[model]\nbase = 3", 2, "model.base = 3", "text in quotes"),
    ('[model]\ndtype = "float8"', 2, 'model.dtype = "float8"', '"auto" or "float32" or "bfloat16" or "float16"'),
    ("[lora]\ntarget_modules = []", 2, "lora.target_modules = []", '"auto" or "all-linear" or a list of names'),
    (
        '[lora]\ntarget_modules = ["q", 3]',
        2,
        'lora.target_modules = ["q", 3]',
        '"auto" or "all-linear" or a list of names',
    ),
    ("[lora]\nrank_pattern = 2", 2, "lora.rank_pattern = 2", "a table of numbers by module from 1 to 1,024, like {"),
    ("[lora]\nrank_pattern = { c_attn = 0 }", 2, "lora.rank_pattern = { ", "a table of numbers by module"),
    ('[lora]\nrank_pattern = { "" = 2 }', 2, "lora.rank_pattern = { ", "a table of numbers by module"),
    ('[lora]\nrank_pattern = { c_attn = "4" }', 2, "lora.rank_pattern = { ", "a table of numbers by module"),
    ("[lora.rank_pattern]\nc_attn = true", 2, "lora.rank_pattern = { ", "a table of numbers by module"),
    ("[lora]\nalpha_pattern = { c_attn = 0 }", 2, "lora.alpha_pattern = { ", "a table of numbers by module above 0"),
    ('[model]\nquantization = "2bit"', 2, 'model.quantization = "2bit"', '"none" or "8bit" or "4bit"'),
    ('[federation]\ncohort = "lots"', 2, 'federation.cohort = "lots"', '"auto" or a whole number from 1'),
    ('[federation]\naggregation = "magic"', 2, 'federation.aggregation = "magic"', '"fedit"'),
    ('[runs]\nname = "a/b"', 2, 'runs.name = "a/b"', "letters, digits"),
    ('\n[ "lora" ]\n "rank" = 0', 3, "lora.rank = 0", "a whole number"),
    ("lora.alpha = 2\nlora.rank = 0", 2, "lora.rank = 0", "a whole number"),
    ("lora = {rank = 0}", 1, "lora.rank = 0", "a whole number"),
    # Larger than any float: comparing must not overflow.
    ("[federation]\nseed = 1" + "0" * 400, 2, "federation.seed = 1000", "a whole number from 0"),
    ("[federation]\nlearning_rate = 1" + "0" * 400, 2, "federation.learning_rate = 1000", "a number above 0"),
]


@pytest.mark.parametrize(("text", "line", "shown", "allowed"), BAD, ids=[shown[:40] for _, _, shown, _ in BAD])
def test_a_value_that_is_not_allowed_is_told_with_file_line_key_value_and_what_is_allowed(
    file, text, line, shown, allowed
):
    path = file(text)
    message = refusal(path)
    assert message.startswith(f"{path}:{line}: {shown}")
    assert f": allowed is {allowed}" in message


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("[lora]\nrnak = 4", 2, "lora.rnak is not a key; nearest is lora.rank"),
        ("[federation]\norganisations = 3", 2, "federation.organisations is not a key; nearest is federation.organ"),
        ("[lore]\nrank = 4", 1, "[lore] is not a section; nearest is lora"),
        ("rank = 4", 1, "rank is not a key of any section; nearest is lora.rank"),
        ("[federation]\nalpha = 4", 2, "federation.alpha is not a key; nearest is lora.alpha"),
        ("[lora]\nrank = 2\nqqqq = 3", 3, "lora.qqqq is not a key; known are lora.rank, lora.alpha, lora.dropout"),
        ("zzzz = 3", 1, "zzzz is not a key of any section; known are model, lora"),
        ("lora = 3", 1, "lora = 3: lora is a section, write [lora]"),
        ("[[lora]]\nrank = 3", 1, "lora is a section, write [lora]"),
        ("[lora.rank]\nrank = 3", 2, "lora.rank = "),
    ],
)
def test_what_is_not_a_key_is_told_with_the_nearest(file, text, line, told):
    path = file(text)
    message = refusal(path)
    assert message.startswith(f"{path}:{line}: ")
    assert told in message


def test_a_file_that_cannot_be_read_is_told(file, tmp_path):
    assert "no such file" in refusal(tmp_path / "none.toml")
    assert "cannot be read" in refusal(tmp_path)
    assert "not UTF-8" in refusal(file(b"[lora]\nrank = '\xff'"))
    assert "not valid TOML" in refusal(file("[lora"))
    assert "not valid TOML" in refusal(file("[lora]\nrank = 2\nrank = 3"))
    assert "not valid TOML" in refusal(file("[federation]\nseed = " + "9" * 5000))
    assert "not valid TOML" in refusal(file("[federation]\nseed = " + "[" * 100_000))


def test_a_long_value_is_cut_and_no_value_breaks_the_line(file):
    assert len(refusal(file('[model]\ndtype = "' + "x" * 3000 + '"'))) < 400
    assert '"a\\nb"' in refusal(file('[model]\ndtype = "a\\nb"'))


# --- flags


def test_a_setting_is_toml_or_else_a_plain_string(file):
    config = load(
        None,
        settings_of(
            ("lora.rank", "8"),
            ("model.base", "gpt2"),
            ("data.text_field", '"my texts"'),
            ("lora.target_modules", '["q_proj", "v_proj"]'),
            ("federation.cohort", "auto"),
            ("console.bell", "false"),
            ("console.prompts", '["Dear Sir", "The"]'),
            ("federation.learning_rate", "2e-3"),
            ("runs.name", "007"),
        ),
    )
    assert (config.lora.rank, config.model.base, config.data.text_field) == (8, "gpt2", "my texts")
    assert config.lora.target_modules == ("q_proj", "v_proj")
    assert (config.federation.cohort, config.console.bell, config.federation.learning_rate) == ("auto", False, 2e-3)
    assert config.runs.name == "007"
    assert config.console.prompts == ("Dear Sir", "The")


def test_what_a_run_keeps_has_no_ready_texts(file):
    config = resolved(load(file('[console]\nprompts = ["Dear Sir"]\ntheme = "light"')), 3)
    assert config.console.theme == "light"
    assert "Dear Sir" not in to_toml(config) + str(to_mapping(config))


@pytest.mark.parametrize("text", ["nan", "true", "12", "1979-05-27", "[1]", "9" * 5000, "[" * 100_000, "a = 'b"])
def test_a_setting_of_a_text_key_is_taken_as_it_stands(text):
    assert load(None, settings_of(("model.base", text))).model.base == text


def test_a_setting_that_is_not_allowed_names_its_flag():
    assert refusal(None, ("lora.rank", "0")).startswith("--set lora.rank=0: lora.rank = 0: allowed is")
    assert refusal(None, ("lora.rank", "x")) == (
        '--set lora.rank=x: lora.rank = "x": allowed is a whole number from 1 to 1,024 or such numbers by '
        'organization, like { default = 8, "pharmacy-2" = 2 }'
    )
    assert "nearest is lora.rank" in refusal(None, ("lora.rnk", "4"))
    assert "nearest is lora.rank" in refusal(None, ("rank", "4"))
    assert "not a key" in refusal(None, ("", "4"))


def test_the_last_of_file_and_flags_wins(file):
    path = file("[lora]\nrank = 2")
    assert load(path).lora.rank == 2
    assert load(path, settings_of(("lora.rank", "3"))).lora.rank == 3
    assert load(path, settings_of(("lora.rank", "3"), ("lora.rank", "5"))).lora.rank == 5


def test_a_value_is_checked_even_where_it_is_overridden(file):
    path = file("[lora]\nrank = 0")
    assert refusal(path, ("lora.rank", "4")).startswith(f"{path}:2: lora.rank = 0")
    assert refusal(None, ("lora.rank", "0"), ("lora.rank", "4")).startswith("--set lora.rank=0")


def test_text_that_could_not_be_written_again_is_refused():
    """An argument that is no UTF-8 comes with halves of characters."""
    assert "data.path" in refusal(None, ("data.path", "caf\udce9"))


def test_settings_that_do_not_fit_together_are_told(file):
    assert "needs data.path" in refusal(file('[data]\nsource = "folder"'))
    message = refusal(None, ("federation.organizations", "1"))
    assert "fewer than federation.min_organizations = 2" in message
    assert message.startswith("--set federation.organizations=1")
    assert "fewer than" in refusal(None, ("federation.min_organizations", "9"))


def test_organizations_of_a_folder_count_only_where_they_were_set(file):
    folder = '[data]\nsource = "folder"\npath = "texts"\n'
    assert load(file(folder)).organizations is None
    assert load(file(folder + "[federation]\norganizations = 3")).organizations == 3
    assert load(None).organizations == 8
    found = resolved(load(file(folder)), 5)
    assert found.organizations == found.federation.organizations == 5


# --- numbers


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_learning_rate_is_taken_exactly_where_its_rule_says(rate):
    config_text = settings_of(("federation.learning_rate", repr(rate)))
    if 0 < rate <= 10:
        assert load(None, config_text).federation.learning_rate == rate
    else:
        refusal(None, ("federation.learning_rate", repr(rate)))


@given(st.integers(-(2**70), 2**70))
def test_a_whole_number_is_taken_exactly_where_its_rule_says(number):
    for name in ("federation.seed", "lora.rank", "federation.local_epochs"):
        rule = RULES[name]
        inside = rule.least <= number <= rule.most
        try:
            config = load(None, settings_of((name, str(number))))
        except UserError:
            assert not inside
        else:
            section, key = name.split(".")
            assert inside
            assert getattr(getattr(config, section), key) == number


# --- written and read again

rates = st.floats(0, 10, exclude_min=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(rates, rates, texts, st.integers(0, 2**63 - 1), st.lists(texts.filter(bool), min_size=1, max_size=3))
def test_a_written_configuration_is_read_as_it_was(rate, alpha, path, seed, modules):
    config = load(None, settings_of(("federation.learning_rate", repr(rate)), ("lora.alpha", repr(alpha))))
    changed = {"data.path": path, "federation.seed": seed, "lora.target_modules": tuple(modules)}
    for name, value in changed.items():
        section, key = name.split(".")
        object.__setattr__(getattr(config, section), key, value)
    tables = tomli.loads(to_toml(config))
    for name, table in to_mapping(config).items():
        assert tables[name] == {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}


def test_tables_by_module_are_read_from_every_form_and_written_as_they_were(file):
    wanted = {"attn.c_proj": 2, "h.0.attn.c_attn": 16}
    inline = 'rank_pattern = { "attn.c_proj" = 2, "h.0.attn.c_attn" = 16 }'
    below = '[lora.rank_pattern]\n"attn.c_proj" = 2\n"h.0.attn.c_attn" = 16'
    flag = ("lora.rank_pattern", '{ "attn.c_proj" = 2, "h.0.attn.c_attn" = 16 }')
    for config in (load(file(f"[lora]\n{inline}")), load(file(below)), load(None, settings_of(flag))):
        assert config.lora.rank_pattern == wanted
        assert list(config.lora.rank_pattern) == list(wanted)
        assert load(file(to_toml(config))).lora == config.lora
        assert to_mapping(config)["lora"]["rank_pattern"] == wanted
    assert load(file("[lora]\nalpha_pattern = { c_attn = 3 }")).lora.alpha_pattern == {"c_attn": 3.0}
    assert load(None).lora.rank_pattern == {}


def test_the_defaults_survive_a_file_and_every_key_has_a_comment(file):
    text = to_toml(Config())
    again = load(file(text))
    assert to_mapping(again) == to_mapping(Config())
    assert again.given == set(RULES)
    for line in text.splitlines():
        assert not line or line.startswith(("#", "[")) or "  # " in line
    listed = {f"{section}.{item.name}" for section, kind in SECTIONS.items() for item in fields(kind)}
    assert listed == set(RULES)


def test_keys_left_unset_are_written_as_comments(file):
    text = to_toml(Config(), unset=("lora.rank",))
    assert "# rank = 4" in text
    assert "lora.rank" not in load(file(text)).given


def test_every_default_is_allowed_by_its_own_rule():
    for section, kind in SECTIONS.items():
        for item in fields(kind):
            default = getattr(kind(), item.name)
            assert RULES[f"{section}.{item.name}"].take(default) == default


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_written_to_its_last_digit_and_stays_a_float(number):
    value = tomli.loads(f"x = {to_literal(number)}")["x"]
    assert isinstance(value, float)
    assert value == number
    assert math.copysign(1, value) == math.copysign(1, number)
