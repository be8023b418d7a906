"""The trades that synthetic organizations follow, one file each.

Their order is the order in which organizations come: neighbours differ, so that the first few already span much. New
trades come at the end, so that no organization is ever renamed.
"""

from __future__ import annotations

from fedlora_tui.organizations.grammar import Trade
from fedlora_tui.organizations.trades.bank_disputes import BANK_DISPUTES
from fedlora_tui.organizations.trades.city_permits import CITY_PERMITS
from fedlora_tui.organizations.trades.clinic import CLINIC
from fedlora_tui.organizations.trades.farm_coop import FARM_COOP
from fedlora_tui.organizations.trades.foundry import FOUNDRY
from fedlora_tui.organizations.trades.hospital_ward import HOSPITAL_WARD
from fedlora_tui.organizations.trades.hotel import HOTEL
from fedlora_tui.organizations.trades.insurer import INSURER
from fedlora_tui.organizations.trades.lab import LAB
from fedlora_tui.organizations.trades.law_firm import LAW_FIRM
from fedlora_tui.organizations.trades.newsroom import NEWSROOM
from fedlora_tui.organizations.trades.pharmacy import PHARMACY
from fedlora_tui.organizations.trades.port_authority import PORT_AUTHORITY
from fedlora_tui.organizations.trades.power_grid import POWER_GRID
from fedlora_tui.organizations.trades.retailer import RETAILER
from fedlora_tui.organizations.trades.school import SCHOOL
from fedlora_tui.organizations.trades.telecom_support import TELECOM_SUPPORT

TRADES: dict[str, Trade] = {
    trade.name: trade
    for trade in (
        HOSPITAL_WARD,
        BANK_DISPUTES,
        PORT_AUTHORITY,
        TELECOM_SUPPORT,
        SCHOOL,
        PHARMACY,
        POWER_GRID,
        LAW_FIRM,
        RETAILER,
        CITY_PERMITS,
        CLINIC,
        INSURER,
        HOTEL,
        FOUNDRY,
        FARM_COOP,
        NEWSROOM,
        LAB,
    )
}
