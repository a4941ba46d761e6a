"""A view as a link and as a file, for every figure on its own page."""

from __future__ import annotations

import json
import re
from io import BytesIO
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from ipywidgets.embed import dependency_state, embed_data
from matplotlib.colors import to_rgb
from PIL import Image

from dpofield.palette import PALETTE
from dpofield.widgets import FieldExplorer
from dpofield.widgets.demo import DEMOS, demo_page
from tests.widgets.conftest import Shown

pytestmark = pytest.mark.browser
WRITTEN = "() => location.search !== ''"


def moved(shown):
    """Move the figure's first slider by key and wait until the address has the change."""
    shown.root.locator("input[type=range]").first.focus()
    shown.page.keyboard.press("PageUp")
    shown.page.wait_for_function(WRITTEN)
    return "?" + urlsplit(shown.page.url).query


@pytest.mark.parametrize("demo", DEMOS)
def test_the_address_carries_the_view(opened, demo):
    """After a pause, the address has the changed traits and the page's own anchor. This address
    restores the view, and Reset removes the traits from it."""
    name = DEMOS[demo].__name__
    shown = opened(demo=demo, figure=Shown, view="#part")
    assert urlsplit(shown.page.url).query == ""
    plain = shown.numbers()
    length = shown.page.evaluate("() => history.length")
    view = moved(shown)
    assert all(key.startswith(f"{name}.") for key in parse_qs(view[1:]))
    assert urlsplit(shown.page.url).fragment == "part"
    assert shown.page.evaluate("() => history.length") == length
    again = opened(demo=demo, figure=Shown, view=view)
    assert again.complaint.inner_text() == ""
    assert again.numbers() == shown.numbers() != plain
    again.reset.click()
    again.page.wait_for_function("() => location.search === ''")
    assert again.numbers() == plain


@pytest.mark.parametrize("demo", DEMOS)
def test_a_foreign_address_is_refused(opened, demo):
    """For an unknown trait, a trait that a reader cannot change, and a text in place of a number,
    the figure shows a complaint and its first view. It ignores the rest of the address."""
    name = DEMOS[demo].__name__
    plain = opened(demo=demo, figure=Shown).numbers()
    number = next(k for k, v in DEMOS[demo]().get_state().items() if isinstance(v, float))
    for view in (f"?{name}.nope=1", f"?{name}._height=9", f"?{name}.{number}=%3Cb%3E"):
        shown = opened(demo=demo, figure=Shown, view=view)
        assert "The link’s view was refused" in shown.complaint.inner_text()
        assert shown.numbers() == plain
    shown = opened(demo=demo, figure=Shown, view=f"?{name}-2.beta=7&highlight=a.b&{name}=1")
    assert shown.complaint.inner_text() == ""
    assert "highlight=a.b" in moved(shown)


@pytest.mark.parametrize(
    ("demo", "view", "why"),
    [
        ("field-explorer", "chart=constructor", "no chart"),
        ("field-explorer", "beta=0", "positive"),
        ("field-explorer", "chart=probability&FieldExplorer.a=0.9", "no policy"),
        ("field-explorer", "a=1e400", "is no a"),
        ("loss-gallery", "b=toString", "no loss"),
        ("loss-gallery", 'params_a={"lam":1}', "DPO has no “lam”"),
        ("loss-gallery", 'params_a={"beta":-1}', "positive"),
        ("loss-gallery", 'pair={"ref_w":-1}', "not whole"),
        ("loss-gallery", "u=99", "exceed 1"),
        ("loss-gallery", "pair=[1]", "is no pair"),
        ("cap-explorer", "divergence=x", "no divergence"),
        ("cap-explorer", "a=-1", "positive"),
        ("cap-explorer", "time=-1", "clock"),
        ("law-of-motion", "wx=0&LawOfMotion.wy=0", "no direction"),
        ("law-of-motion", "preset=3", "no measured pair"),
        ("law-of-motion", "presets=[]", "no “presets”"),
        ("one-softmax", "start=[0.5,0.6,0.1]", "no policy"),
        ("one-softmax", 'start=["a",0.5,0.5]', "is no start"),
        ("one-softmax", "w=1", "two different"),
        ("one-softmax", "l=0.5", "two different"),
    ],
)
def test_values_that_no_figure_can_have(opened, demo, view, why):
    """The reasons are the same as those of the controls."""
    name = DEMOS[demo].__name__
    shown = opened(demo=demo, figure=Shown, view=f"?{name}.{view}")
    assert why in shown.complaint.inner_text()


def test_two_figures_of_a_kind(demos, opened):
    """Each figure has its own name in the address, in the order of the page."""
    widgets = [FieldExplorer(), FieldExplorer(chart="log-ratio")]
    data = embed_data(views=widgets, state=dependency_state(widgets, drop_defaults=False))
    state = json.dumps(data["manager_state"]).replace("<", "\\u003c")
    page = demo_page("field-explorer")
    box = re.search(r'<div class="dpofield-widget".*?</div>', page, re.DOTALL)[0]
    view = re.compile(r'(<script type="[^"]*view\+json">).*?</script>', re.DOTALL)
    boxes = [
        view.sub(lambda m, v=v: f"{m[1]}{json.dumps(v)}</script>", box) for v in data["view_specs"]
    ]
    boxes[1] = boxes[1].replace('id="FieldExplorer"', 'id="FieldExplorer-2"')
    page = page.replace(box, "".join(boxes))
    script = re.compile(r'(<script type="[^"]*state\+json">).*?</script>', re.DOTALL)
    page = script.sub(lambda m: f"{m[1]}{state}</script>", page)
    (demos / "two.html").write_text(page, encoding="utf-8")
    shown = opened(demo="two", figure=Shown, height=2000)
    first, second = shown.root.all()
    for figure, key in ((second, "ArrowUp"), (first, "ArrowRight")):
        figure.get_by_role("slider", name="Start").press(key)
        shown.page.wait_for_timeout(600)
    found = parse_qs(urlsplit(shown.page.url).query)
    assert found == {"FieldExplorer.a": ["1.02"], "FieldExplorer-2.b": ["0.08"]}


def test_copy_link(opened):
    """The copied address opens at the figure; if the browser cannot copy, a message says so."""
    shown = opened(permissions=["clipboard-read", "clipboard-write"])
    shown.type("beta", "0.7")
    shown.root.get_by_role("button", name="Copy link").click()
    assert "copied" in shown.spoken("link")
    copied = shown.page.evaluate("() => navigator.clipboard.readText()")
    assert urlsplit(copied)[3:] == ("FieldExplorer.beta=0.7", "FieldExplorer")
    assert urlsplit(shown.page.url).fragment == ""
    shown.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    shown.root.get_by_role("button", name="Copied").wait_for(state="detached")
    shown.root.get_by_role("button", name="Copy link").press("Enter")
    assert "address is the link" in shown.spoken("would not copy")


def test_outside_the_book_there_is_no_address(demos, opened):
    """A figure without a name (in a notebook) does not change the address."""
    page = demo_page("field-explorer").replace('id="FieldExplorer" ', "")
    (demos / "nameless.html").write_text(page, encoding="utf-8")
    shown = opened(demo="nameless", view="?FieldExplorer.beta=-1")
    assert shown.root.get_by_role("button", name="Copy link").count() == 0
    assert shown.beta() == 0.1
    before = shown.page.url
    shown.type("beta", "0.7")
    assert "beta 0.7" in shown.spoken("beta")
    assert shown.page.url == before


@pytest.mark.parametrize("demo", DEMOS)
def test_nothing_is_drawn_by_a_style_sheet_alone(opened, demo):
    """A saved picture is made of nodes: drawings by `::before` or `::after` would be missing."""
    shown = opened(demo=demo, figure=Shown)
    drawn = shown.root.locator("*").evaluate_all("""(all) => all.flatMap((e) =>
      ["::before", "::after"].filter((part) =>
        !["none", "normal"].includes(getComputedStyle(e, part).content))
        .map((part) => e.className + part))""")
    assert drawn == []


def test_save_has_the_tips_and_the_thin_edges(opened):
    """A saved softmax has the arrow heads on its bars and the borders of its choices."""
    shown = opened(demo="one-softmax", figure=Shown, accept_downloads=True)
    shown.type("margin", "2")
    tips = shown.root.locator(".dpf-tip path:visible")
    ways = tips.evaluate_all("(all) => all.map((path) => path.getAttribute('d'))")
    assert len(ways) == 5
    assert len(set(ways)) == 2  # some grow, some shrink
    choices = shown.root.locator(".dpf-table .dpf-choice:visible").count()
    with shown.page.expect_download() as download:
        shown.root.get_by_role("button", name="Save SVG").click()
    root = ElementTree.fromstring(download.value.path().read_text())
    space = "{http://www.w3.org/2000/svg}"
    saved = [path.get("d") for path in root.iter(f"{space}path")]
    assert [d for d in saved if d in ways] == ways
    edged = [rect for rect in root.iter(f"{space}rect") if rect.get("stroke")]
    assert len(edged) >= choices


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("demo", DEMOS)
def test_save(opened, demo, scheme):
    """The SVG is self-contained and has every number and the theme's colours; the PNG shows the
    same picture."""
    shown = opened(demo=demo, figure=Shown, color_scheme=scheme, accept_downloads=True)
    numbers = shown.numbers()
    files = {}
    for kind in ("SVG", "PNG"):
        with shown.page.expect_download() as download:
            shown.root.get_by_role("button", name=f"Save {kind}").click()
        assert download.value.suggested_filename == f"{demo}.{kind.lower()}"
        assert f"saved as {demo}" in shown.spoken(f".{kind.lower()}")
        files[kind] = download.value.path().read_bytes()
    text = files["SVG"].decode()
    root = ElementTree.fromstring(text)
    for word in ("var(", " class=", " style=", "<script", "color-mix", "http://localhost", "file:"):
        assert word not in text
    assert set(re.findall(r'href="([^"]{0,10})', text)) <= {"data:image"}
    ids = set(re.findall(r' id="([^"]+)"', text))
    assert set(re.findall(r"url\('?#([^')]+)", text)) <= ids
    words = {"".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text")}
    shown_texts = shown.root.locator("[data-value]:visible").all_inner_texts()
    assert numbers
    assert set(shown_texts) <= words
    for drawn in ("preferred", "surface"):
        rgb = [round(255 * c) for c in to_rgb(PALETTE[drawn][scheme == "dark"])]
        assert f"rgb({rgb[0]},{rgb[1]},{rgb[2]})" in text
    picture = Image.open(BytesIO(files["PNG"])).convert("RGB")
    assert picture.size == tuple(2 * int(root.get(side)) for side in ("width", "height"))
    assert picture.getpixel((2, 2)) == tuple(rgb)
    assert len(picture.getcolors(1 << 24)) > 50
