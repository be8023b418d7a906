"""Colour roles: contrast on both backgrounds, and none where colour is off."""

import colorsys

import pytest
from rich.style import Style

from fedlora_tui.console.drawing import roles


def channels(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_contrast_is_that_of_the_guideline():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("palette", "background"), [(roles.DARK, roles.DARK_BACKGROUND), (roles.LIGHT, roles.LIGHT_BACKGROUND)]
)
@pytest.mark.parametrize("role", roles.NAMES)
def test_every_role_can_be_read(palette, background, role):
    assert contrast(palette[role], background) >= 4.5


@pytest.mark.parametrize("role", [name for name in roles.NAMES if name not in ("ink", "quiet")])
def test_hues_are_the_published_ones(role):
    assert roles.DARK[role] in roles.OKABE_ITO.values()
    dark, light = (colorsys.rgb_to_hls(*channels(palette[role]))[0] for palette in (roles.DARK, roles.LIGHT))
    assert min(abs(dark - light), 1 - abs(dark - light)) < 0.04


@pytest.mark.parametrize("palette", [roles.DARK, roles.LIGHT, roles.SIXTEEN, roles.NO_COLOUR])
def test_every_palette_has_every_role_as_a_style(palette):
    assert tuple(palette) == roles.NAMES
    for style in palette.values():
        Style.parse(style)


def test_colours_mean_one_thing_each():
    for palette in (roles.DARK, roles.LIGHT, roles.SIXTEEN):
        assert len(set(palette.values())) == len(roles.NAMES)


def test_no_colour_sends_none_and_sixteen_stay_the_terminals():
    assert all(Style.parse(style).color is None for style in roles.NO_COLOUR.values())
    for style in roles.SIXTEEN.values():
        colour = Style.parse(style).color
        assert colour is None or colour.is_system_defined


def test_roles_for():
    assert roles.roles_for(0) is roles.NO_COLOUR
    assert roles.roles_for(16) is roles.SIXTEEN
    assert roles.roles_for(1 << 24) is roles.DARK
    assert roles.roles_for(1 << 24, dark=False) is roles.LIGHT
