"""Made-up people and places: lists of parts, and how an organization coins names of its own from them."""

from __future__ import annotations

import random

from fedlora_tui.organizations.draw import pick, shuffled


def _parts(block: str) -> tuple[str, ...]:
    return tuple(block.split())


FIRST = _parts(
    """
    Ada Amir Anton Astrid Basil Bianca Carl Celia Chidi Clara Dana Dario Edda Elias Emre Esther
    Farid Fiona Franz Greta Hana Hugo Ida Imran Ines Ivan Jana Jonas Judith Kaito Karin Kofi Lara
    Leo Lena Lucas Magda Malik Marta Milan Mira Nadia Nils Noor Olga Omar Otto Paula Petra Priya
    Rafael Rosa Samir Selma Silas Sofia Stefan Tamar Tariq Tessa Theo Ursula Viktor Wanda Yara Yusuf
    Zoe
    """
)
LAST = _parts(
    """
    Abara Adler Albrecht Almeida Andersen Arslan Banerjee Barlow Becker Bianchi Boateng Brandt
    Carver Castell Chaudhry Cole Costa Dahl Danso Decker Diallo Drummond Eklund Engel Farrow Ferrari
    Fischer Fontaine Fraser Garner Gomes Greer Haddad Hale Hartley Hassan Hoffman Holm Ibarra Ivers
    Jansen Jarvis Kamara Kaplan Keller Kimura Kovac Kruger Lang Larsen Leclerc Lindqvist Lowe Maddox
    Marino Mbeki Mercer Moreau Mwangi Nakata Navarro Nolan Novak Nygaard Obi Okafor Olsen Orlov Osei
    Palmer Park Pereira Petrov Quinn Rahman Ramos Reyes Ritter Rossi Sato Sayed Schmidt Serrano
    Sharma Silva Soto Steiner Stone Svensson Tanaka Thorne Toledo Turner Varga Vega Vogel Walsh
    Weber Winter Yilmaz Young Zeller Zhou Ziegler
    """
)
STEM = _parts(
    """
    Ash Bar Bel Bram Cal Car Cold Corn Dal Dun East El Fair Fal Gal Glen Gran Hal Hart Hol Ken Kings
    Lang Lin Mar Mel Mill Mor Nor Oak Pen Quarr Raven Red Ros Sand Stan Sel Thorn Tor Val Ver Wal
    West Whit Win Wood Yar
    """
)
TOWN_END = _parts("bridge brook bury by dale field ford gate ham leigh mere mouth port stead stoke ton well wick")
BRAND_END = _parts("adine aris elle enta era ex ia ica ilo ine ion ira iva ona ora os uma ura ys")
STREET_END = ("Street", "Street", "Road", "Lane", "Avenue", "Row", "Hill", "Court", "Walk")


def person(rng: random.Random) -> str:
    """A first name and a surname."""
    return f"{pick(rng, FIRST)} {pick(rng, LAST)}"


def people(rng: random.Random, count: int) -> tuple[str, ...]:
    """People with surnames that differ, as on a list of staff."""
    return tuple(f"{pick(rng, FIRST)} {last}" for last in shuffled(rng, LAST)[:count])


def towns(rng: random.Random, count: int) -> tuple[str, ...]:
    """Places such as Thornmere, each with a stem of its own."""
    return tuple(f"{stem}{pick(rng, TOWN_END)}" for stem in shuffled(rng, STEM)[:count])


def brands(rng: random.Random, count: int) -> tuple[str, ...]:
    """Names of products or ships, such as Veriona."""
    return tuple(f"{stem}{pick(rng, BRAND_END)}" for stem in shuffled(rng, STEM)[:count])


def streets(rng: random.Random, count: int) -> tuple[str, ...]:
    """Streets such as Oakwell Lane."""
    return tuple(f"{town} {pick(rng, STREET_END)}" for town in towns(rng, count))
