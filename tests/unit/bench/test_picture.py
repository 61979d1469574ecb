"""The picture of rates: every case and every line is in it, and higher rates are higher up."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from bench.picture import rates_picture
from bench.result import Result

SVG = "{http://www.w3.org/2000/svg}"


def test_every_case_has_its_place_and_higher_is_faster() -> None:
    results = [
        Result("stream", "1 <table>", 10, {"rows_per_s": 500.0}, {"rows_per_s": 1000.0}),
        Result("stream", "400 tables", 10, {"rows_per_s": 250.0}, {"rows_per_s": 1000.0}),
    ]
    tree = ElementTree.fromstring(rates_picture(results))
    texts = [text.text for text in tree.iter(f"{SVG}text")]
    assert {"1 <table>", "400 tables", "ours", "ceiling", "0", "1,000"} <= set(texts)
    ours, _, ceiling, _ = (path.attrib["d"] for path in tree.iter(f"{SVG}path"))
    (x1, y1), (x2, y2) = ([float(number) for number in pair] for pair in re.findall(r"([\d.]+) ([\d.]+)", ours))
    assert x1 < x2 and y1 < y2
    assert {y for _, y in re.findall(r"([\d.]+) ([\d.]+)", ceiling)} == {f"{12.0:.1f}"}
