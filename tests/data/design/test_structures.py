"""The structures of a design: the count, no duplicate, nothing missing, symmetry found."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from itertools import combinations_with_replacement, permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write

from mo_hpc.core.config import dataset_config
from mo_hpc.core.design import DesignConfig, HostConfig, design_config
from mo_hpc.core.errors import UserError
from mo_hpc.core.schema import validated
from mo_hpc.data.design.structures import DesignedStructure, Host, designed_structures
from mo_hpc.data.design.symmetry import CrystalSymmetry
from mo_hpc.data.fingerprints import DUPLICATE_TOLERANCE, families, surroundings


def small_design(host: HostConfig, dopants: tuple[str, ...], shells: tuple[int, ...]):
    return DesignConfig(
        name="sample",
        description="for tests",
        hosts=(host,),
        dopants=dopants,
        pair_shells=shells,
        vasp="materials_project",
        trajectories="any",
    )


def lattice(name: str, edge_ang: float, repeat: tuple[int, int, int], **fields: Any) -> HostConfig:
    return HostConfig(name=name, lattice=name, supercell_edge_ang=edge_ang, repeat=repeat, **fields)


def n_distinct(structures: list[Atoms]) -> int:
    """How many structures are different, by the profiles that tell duplicates in any dataset."""
    compositions = [atoms.symbols.formula.format("hill") for atoms in structures]
    profiles = [surroundings(atoms).profile for atoms in structures]
    return len(set(families(compositions, profiles, DUPLICATE_TOLERANCE)))


@pytest.fixture(scope="module")
def mo420() -> list[DesignedStructure]:
    return list(designed_structures(design_config("mo420")))


def test_the_design_of_the_paper_has_420_structures(mo420):
    by_host_and_size = Counter((each.host, len(each.doping.dopants)) for each in mo420)
    pairs = 66 * 3
    assert len(list(combinations_with_replacement(range(11), 2))) == 66
    assert by_host_and_size == {
        (host, n): count for host in ("bcc", "fcc") for n, count in enumerate((1, 11, pairs))
    }
    assert len(mo420) == 420 == 2 * (1 + 11 + pairs)
    assert len({each.structure_id for each in mo420}) == 420


def test_no_structure_of_the_paper_is_there_twice(mo420):
    assert n_distinct([each.atoms for each in mo420]) == 420


def test_cells_are_those_of_the_paper(mo420):
    """128 atoms in 12.65 Å and 108 atoms in 12.02 Å; two dopants are 1.6 to 1.9 at%."""
    found = {(each.host, len(each.atoms), *each.atoms.cell.lengths()) for each in mo420}
    assert found == {("bcc", 128, *[12.65] * 3), ("fcc", 108, *[12.02] * 3)}


@pytest.mark.parametrize(("host", "edges"), [("bcc", 12.65 / 4), ("fcc", 12.02 / 3)])
def test_shells_are_those_of_the_lattice(mo420, host, edges):
    """Distances in the cubic edge: BCC sqrt(3)/2, 1, sqrt(2); FCC 1/sqrt(2), 1, sqrt(3/2)."""
    expected = {"bcc": [0.75, 1, 2], "fcc": [0.5, 1, 1.5]}[host]
    for each in mo420:
        if each.host == host and each.doping.shell:
            dopants = np.flatnonzero(each.atoms.numbers != 42)
            distance = each.atoms.get_distance(*dopants, mic=True)
            assert distance == pytest.approx(np.sqrt(expected[each.doping.shell - 1]) * edges)


def test_new_elements_are_nine_single_dopants():
    structures = list(designed_structures(design_config("mo_new_elements")))
    assert [each.structure_id for each in structures] == [
        f"bcc_{element}" for element in ("Ag", "Al", "Au", "Co", "Cu", "Hf", "Hg", "Ni", "Zn")
    ]
    assert {str(each.atoms.symbols)[:5] for each in structures} == {"Mo127"}


def test_names_and_atoms_are_the_same_every_time(mo420):
    again = list(designed_structures(design_config("mo420")))
    assert [each.structure_id for each in again] == [each.structure_id for each in mo420]
    assert all(one.atoms == two.atoms for one, two in zip(again, mo420, strict=True))


# -- against placing dopants on all pairs of sites --------------------------------------


@pytest.mark.parametrize(
    ("host", "shells"),
    [
        (lattice("bcc", 9.5, (3, 3, 3)), (1, 2, 3, 4)),
        (lattice("fcc", 8.0, (2, 2, 2)), (1, 2, 3)),
        (lattice("bcc", 9.5, (3, 3, 2)), (1, 2, 3, 4)),  # tetragonal: shells split
        (lattice("hcp", 8.6, (3, 3, 2)), (1, 2, 3)),  # two kinds of nearest neighbours
        (lattice("hcp", 8.6, (3, 3, 2), c_over_a=1.58), (1, 2, 3)),
        (lattice("diamond", 10.0, (2, 2, 2)), (1, 2, 3)),
        (lattice("sc", 9.0, (3, 3, 3)), (1, 2, 3)),
    ],
    ids=lambda value: f"{value.name}{value.repeat}" if isinstance(value, HostConfig) else "",
)
def test_nothing_is_missing_and_nothing_twice(host, shells):
    designed = list(designed_structures(small_design(host, ("Ta", "W"), shells)))
    crystal = Host(host).crystal
    radii = np.array(Host(host).shell_radii_ang)[[shell - 1 for shell in shells]]
    distances = crystal.get_all_distances(mic=True)[0]
    near = [
        site for site, distance in enumerate(distances) if np.abs(radii - distance).min() < 0.01
    ]
    placed = [crystal]
    for dopant in ("Ta", "W"):
        placed.append(doped(crystal, {0: dopant}))
        placed += [doped(crystal, {0: dopant, site: dopant}) for site in near]
    placed += [
        doped(crystal, {0: one, site: two})
        for site in near
        for one, two in permutations(("Ta", "W"))
    ]
    assert len(designed) == n_distinct(placed)
    assert n_distinct([*placed, *(each.atoms for each in designed)]) == len(designed)


def test_nothing_is_missing_where_sites_differ(tmp_path):
    """A slab, dopants on all sites and all pairs: which end of a pair is which now matters."""
    slab = bulk("Mo", "bcc", a=3.16, cubic=True) * (3, 3, 2)
    slab.center(vacuum=5.0, axis=2)
    write(tmp_path / "slab.xyz", slab)
    config = HostConfig(name="slab", file=str(tmp_path / "slab.xyz"))
    designed = list(designed_structures(small_design(config, ("Ta", "W"), (1, 2))))
    crystal, radii = Host(config).crystal, Host(config).shell_radii_ang
    pairs = np.argwhere(np.triu(crystal.get_all_distances(mic=True) < 0.5 * (radii[1] + radii[2])))
    placed = [crystal, *(doped(crystal, {site: d}) for site in range(36) for d in ("Ta", "W"))]
    placed += [
        doped(crystal, {first: one, second: two})
        for first, second in pairs[pairs[:, 0] != pairs[:, 1]]
        for one, two in product(("Ta", "W"), repeat=2)
    ]
    assert len(designed) == n_distinct(placed)
    assert n_distinct([*placed, *(each.atoms for each in designed)]) == len(designed)


def doped(crystal: Atoms, dopants: dict[int, str]) -> Atoms:
    atoms = crystal.copy()
    for site, dopant in dopants.items():
        atoms.symbols[site] = dopant
    return atoms


def test_inequivalent_sites_of_a_file_are_found(tmp_path):
    """A slab: each layer from the surface inwards is a kind of site, both sides alike."""
    slab = bulk("Mo", "bcc", a=3.16, cubic=True) * (2, 2, 3)
    slab.center(vacuum=5.0, axis=2)
    write(tmp_path / "slab.xyz", slab)
    host = HostConfig(name="slab", file=str(tmp_path / "slab.xyz"))
    heights = sorted({round(float(slab.positions[site, 2]), 3) for site in range(len(slab))})
    chosen = [round(float(slab.positions[site, 2]), 3) for site in Host(host).inequivalent_sites]
    assert len(heights) == 6
    assert sorted(min(height, heights[0] + heights[-1] - height) for height in chosen) == (
        pytest.approx(heights[:3], abs=2e-3)
    )
    names = [each.structure_id for each in designed_structures(small_design(host, ("W",), ()))]
    assert names == ["slab_Mo", *(f"slab_W_site{site}" for site in Host(host).inequivalent_sites)]


def test_only_the_named_element_and_sites_are_replaced(tmp_path):
    crystal = bulk("Mo", "bcc", a=3.1, cubic=True) * (2, 2, 2)
    crystal.symbols[1::2] = "Ti"
    write(tmp_path / "b2.xyz", crystal)
    file = str(tmp_path / "b2.xyz")
    structures = designed_structures(
        small_design(HostConfig(name="b2", file=file, element="Ti"), ("W",), (1,))
    )
    assert [str(each.atoms.symbols.formula.format("hill")) for each in structures] == [
        "Mo8Ti8",
        "Mo8Ti7W",
        "Mo8Ti6W2",
    ]
    some = HostConfig(name="b2", file=file, sites=(0, 6))
    (pair,) = [d for d in designed_structures(small_design(some, ("W",), (2,))) if d.doping.shell]
    assert pair.doping.sites == (0, 6)
    assert pair.structure_id == "b2_W-W_2nn"
    with pytest.raises(UserError, match="no Mo on site 1"):
        list(designed_structures(small_design(some.model_copy(update={"sites": (0, 1)}), (), ())))


def test_shells_are_counted_in_the_crystal_and_not_among_the_listed_sites(tmp_path):
    """BCC: sites 0, 1 and 2 are the corner, the centre and the next corner along z."""
    edge_ang = 3.16
    crystal = bulk("Mo", "bcc", a=edge_ang, cubic=True) * (3, 3, 3)
    write(tmp_path / "bcc.xyz", crystal)

    def host(*sites: int) -> HostConfig:
        return HostConfig(name="bcc", file=str(tmp_path / "bcc.xyz"), sites=sites)

    assert crystal.positions[2] == pytest.approx([0, 0, edge_ang])
    whole = Host(host().model_copy(update={"sites": None}))
    assert Host(host(0, 2)).shell_radii_ang == whole.shell_radii_ang
    assert whole.shell_radii_ang[:2] == pytest.approx([np.sqrt(0.75) * edge_ang, edge_ang])
    assert Host(host(0, 2)).pairs(2) == [(0, 2)]
    assert Host(host(0, 1, 2)).pairs(1) == [(0, 1)]
    with pytest.raises(UserError) as caught:
        list(designed_structures(small_design(host(0, 2), ("W",), (2, 1))))
    assert "on neighbour shell 1" in " ".join(str(caught.value).split())
    assert caught.value.valid == ("2",)
    with pytest.raises(UserError) as caught:
        Host(host(2)).pairs(1)
    assert caught.value.valid == ()


def test_symmetry_does_not_depend_on_how_the_cell_is_written():
    """A skewed cell of the same lattice has the same kinds of pairs."""
    crystal = bulk("Mo", "bcc", a=3.16, cubic=True) * (3, 3, 3)
    skewed = crystal.copy()
    skewed.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]]) @ crystal.cell.array)
    plain, other = CrystalSymmetry(crystal), CrystalSymmetry(skewed)
    for second in range(1, len(crystal)):
        assert plain.first_equivalent_pair(0, second) == other.first_equivalent_pair(0, second)


def test_a_shell_that_the_cell_is_too_small_for_is_refused():
    design = small_design(lattice("bcc", 6.3, (2, 2, 2)), ("W",), (9,))
    with pytest.raises(UserError, match="no neighbour shell 9"):
        list(designed_structures(design))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dopants": ["W", "W"]}, "twice"),
        ({"dopants": ["Mo"]}, "dopant and host"),
        ({"dopants": [True]}, "quote it"),
        ({"pair_shells": [0]}, "from 1"),
        ({"trajectories": None}, "trajectories"),
        ({"equilibrium": "any"}, "not one"),
        ({"hosts": [{"name": "x"}]}, "lattice or file"),
        ({"hosts": [{"name": "x", "lattice": "bcc"}]}, "supercell_edge_ang"),
        ({"hosts": [{"name": "x", "file": "y", "supercell_edge_ang": 3.0}]}, "its own edges"),
        (
            {
                "hosts": [
                    {"name": "x", "lattice": "bcc", "supercell_edge_ang": 3.0, "c_over_a": 1.6}
                ]
            },
            "hcp",
        ),
        ({"dopant": ["W"]}, "dopants"),
    ],
)
def test_a_wrong_design_is_refused(change, message):
    document = small_design(lattice("bcc", 6.3, (2, 2, 2)), ("W",), (1,)).model_dump(mode="json")
    with pytest.raises(UserError) as caught:
        validated(DesignConfig, document | change, where="design=sample")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no file"),
        ("garbage", "cannot be read"),
        ("1\n\nMo 0.0 0.0 0.0\n", "no periodic cell"),
    ],
)
def test_a_host_file_that_is_no_crystal_is_refused(content, message, tmp_path):
    path = tmp_path / "host.xyz"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as caught:
        Host(HostConfig(name="mine", file=str(path)))
    assert message in str(caught.value)
    assert "mine" in str(caught.value)


# -- against the open replica -----------------------------------------------------------


@pytest.mark.shared_data
def test_the_replica_has_the_same_structures(mo420, shared_data_root):
    """By name, composition and cell; and the dopants stand on the shell that the name says."""
    ours = {each.structure_id: each for each in mo420}
    theirs = first_frames(shared_data_root, "mo420_replica")
    assert theirs.keys() == ours.keys()
    for name, frame in theirs.items():
        expected = ours[name].atoms
        assert Counter(frame.symbols) == Counter(expected.symbols), name
        assert frame.cell.array == pytest.approx(expected.cell.array, abs=1e-3)
        assert dopant_distances(frame) == pytest.approx(dopant_distances(expected), abs=0.2), name


@pytest.mark.shared_data
def test_the_replica_has_the_same_new_elements(shared_data_root):
    ours = designed_structures(design_config("mo_new_elements"))
    theirs = first_frames(shared_data_root, "mo_new_elements_replica").values()
    assert {str(each.atoms.symbols.formula.format("hill")) for each in ours} == {
        str(frame.symbols.formula.format("hill")) for frame in theirs
    }


def first_frames(data_root: Path, dataset: str) -> dict[str, Atoms]:
    """The first frame of each structure, without parsing the thousands of others."""
    found = {}
    for file in dataset_config(dataset).files:
        lines = gzip.decompress((data_root / file).read_bytes()).decode().splitlines(keepends=True)
        start = 0
        while start < len(lines):
            end = start + int(lines[start]) + 2
            if "frame=0 " in lines[start + 1]:
                frame = read(io.StringIO("".join(lines[start:end])), format="extxyz")
                found[frame.info["structure_id"]] = frame
            start = end
    return found


def dopant_distances(atoms: Atoms) -> list[float]:
    sites = np.flatnonzero(atoms.numbers != 42)
    return [atoms.get_distance(*sites, mic=True)] if len(sites) == 2 else []
