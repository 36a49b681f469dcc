"""Chemical symbols and atomic numbers, without ASE."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

SYMBOLS: tuple[str, ...] = tuple(
    """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
    Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho
    Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es
    Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
    """.split()  # noqa: SIM905 - the periodic table reads better than 118 quoted words
)
ATOMIC_NUMBERS: dict[str, int] = {symbol: z for z, symbol in enumerate(SYMBOLS, start=1)}


def element_symbol(value: Any) -> str:
    """Validates a chemical symbol.

    Raises:
        ValueError: If the value is not a symbol; a truth value gets the YAML explanation.
    """
    text = str(value).lower() if isinstance(value, bool) else value
    if text in ("true", "false"):  # as text where the symbol is the key of a mapping
        guess = "'No' (nobelium)" if text == "false" else "'Y' (yttrium)"
        raise ValueError(
            f"YAML read the element symbol as the truth value {text}; quote it, as in {guess}"
        )
    if not isinstance(value, str) or value not in ATOMIC_NUMBERS:
        raise ValueError(f"'{value}' is not the symbol of a chemical element")
    return value


Element = Annotated[str, BeforeValidator(element_symbol)]
