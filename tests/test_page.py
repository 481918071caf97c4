"""The exported page, in a real Chromium: it reads as the network does, shows true numbers, and is shut to the world."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lenet5_cli.config import Config
from lenet5_cli.data import drawn, glyphs
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.errors import printable
from lenet5_cli.export import page as exported
from lenet5_cli.pictures.read import read_sample
from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
from tests.conftest import STROKES, drawing, written

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SILENT = ["quic", "background-networking", "component-update", "sync", "gpu"]  # what the browser does unasked
VIEWPORT: Any = {"width": 1440, "height": 900}
SHOWN = 5e-4  # what a number with three decimals is off by at most, where it is equal

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in SILENT)]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


class Watched(NamedTuple):
    """A browser's window, and what its pages said on the console and requested."""

    context: "BrowserContext"
    complaints: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def watched(browser: "Browser") -> Iterator[Watched]:
    with browser.new_context(viewport=VIEWPORT) as context:
        watched = Watched(context, [], [])
        context.on("request", lambda request: watched.requests.append(request.url))
        context.on("console", lambda message: watched.complaints.append(message.text))
        context.on("weberror", lambda error: watched.complaints.append(str(error.error)))
        yield watched


@pytest.fixture(scope="module")
def opened(watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Return a function that opens the page of a network."""
    numbers = count()

    def open_page(network: LeNet5, saved: Checkpoint | None = None) -> "Page":
        path = tmp_path_factory.getbasetemp() / f"page{next(numbers)}.html"
        path.write_bytes(exported.render(network, saved or Checkpoint([])))
        page = watched.context.new_page()
        page.goto(path.as_uri())
        return page

    return open_page


@pytest.fixture(scope="module")
def page_of(opened: Open) -> Callable[[str], "Page"]:
    """Return a function that shows the page of one of NETWORKS, opened once, with nothing drawn."""

    @cache
    def open_once(name: str) -> "Page":
        return opened(NETWORKS[name]())

    def show(name: str) -> "Page":
        page = open_once(name)
        page.bring_to_front()
        page.set_viewport_size(VIEWPORT)
        clear(page)
        return page

    return show


@pytest.fixture
def page(page_of: Callable[[str], "Page"]) -> "Page":
    """Return the page of the bundled model, with nothing drawn."""
    return page_of("bundled")


@pytest.fixture(scope="module")
def as_is(opened: Open) -> "Page":
    """Return the page of a model that reads pictures as they are."""
    return opened(LeNet5(Config(seed=1, as_is=True)))


@pytest.fixture(autouse=True)
def _silence(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that no page complained, and that none requested anything but itself."""
    yield
    if "watched" in request.fixturenames:
        watched = request.getfixturevalue("watched")
        assert not watched.complaints
        assert all(re.search(r"^file:.*/page\d+\.html$", url) for url in watched.requests)


def draw(page: "Page", digit: int) -> None:
    """Draw a digit with the mouse."""
    box = page.locator("#pad").bounding_box()
    assert box
    unit = box["width"] / 20
    for stroke in STROKES[digit]:
        squares = [map(float, point.split(",")) for point in stroke.split()]
        points = [(box["x"] + unit * (x + 5), box["y"] + unit * (y + 3)) for x, y in squares]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def clear(page: "Page") -> None:
    """Take everything off the pad; the button can be used when what is on it has been shown."""
    rendered(page)
    page.evaluate("document.getElementById('clear').click()")


def until(page: "Page", condition: str) -> None:
    """Wait until something is true on the page, whose policy Playwright's own way of waiting violates."""
    page.evaluate(f"async () => {{ while (!({condition})) await new Promise(requestAnimationFrame); }}")


def of_images(page: "Page", function: str, images: np.ndarray) -> list[Any]:
    """Return what a function of the page says of each image."""
    results: list[Any] = page.evaluate(
        """([images, name]) => {
            const pixels = Uint8Array.from(atob(images), (character) => character.charCodeAt(0));
            const starts = Array.from({ length: pixels.length / 784 }, (_, at) => 784 * at);
            return starts.map((start) => lenet5[name](pixels.subarray(start, start + 784)));
        }""",
        [base64.b64encode(images.tobytes()).decode(), function],
    )
    return results


def rendered(page: "Page") -> None:
    """Wait until what was done is shown."""
    page.evaluate("new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))")


def answer(page: "Page") -> str:
    rendered(page)
    return page.locator("#answer").inner_text()


def seen(page: "Page") -> np.ndarray:
    """Return the picture that the page's network sees, (28, 28) uint8."""
    return np.array(page.evaluate("lenet5.image()"), np.uint8).reshape(28, 28)


def ledger(page: "Page") -> dict[str, float]:
    """Return the lines of the inspector's sum by name."""
    rendered(page)
    names, values = (page.locator(f".ledger {tag}").all_inner_texts() for tag in ("dt", "dd"))
    numbers = [float(value.replace("\u2212", "-")) if value != "…" else np.nan for value in values]
    return dict(zip(names, numbers, strict=True))


LETTERS = glyphs.read("letters")


PAPER = Config(seed=1, init="lecun", input="lecun", activation="tanh", connections="lecun1998")
NETWORKS = {
    "bundled": LeNet5.load,
    "binary in float64": lambda: LeNet5(Config(seed=1, dtype="float64", init="normal")),
    "the paper's": lambda: LeNet5(PAPER),
    "other maps, 26 classes": lambda: LeNet5(Config(seed=1, init="normal", maps="4,7,30"), LETTERS),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_equal_numpy(page_of: Callable[[str], "Page"], name: str) -> None:
    network = NETWORKS[name]()
    images, _ = drawn.draw(50, seed=3)
    scores = of_images(page_of(name), "scores", images)
    np.testing.assert_allclose(scores, network.scores(images), rtol=0, atol=1e-3)


def test_strokes_are_read_undone_and_cleared(page: "Page") -> None:
    assert answer(page) == "–"
    assert not seen(page).any()
    for digit in range(10):
        draw(page, digit)
        assert answer(page) == str(digit)
        for _ in STROKES[digit]:
            page.evaluate("document.getElementById('undo').click()")
        assert answer(page) == "–"
    draw(page, 3)
    draw(page, 1)
    page.keyboard.press("Control+z")
    assert answer(page) == "3"
    page.locator("#clear").click()
    assert answer(page) == "–"
    assert page.locator("#undo").is_disabled()


def test_a_drawing_is_finished_as_mnist_is(page: "Page") -> None:
    """The longer side is 20 pixels, the strongest ink 255, the centre of mass in the middle, wherever it is drawn."""
    page.locator("#width").fill("10")
    box = page.locator("#pad").bounding_box()
    assert box
    for x, y in ((20, 30), (150, 120)):
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.down()
        for dx, dy in ((90, 0), (0, 120), (60, 125)):
            page.mouse.move(box["x"] + x + dx, box["y"] + y + dy, steps=3)
        page.mouse.up()
        image = seen(page).astype(float)
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        assert image.max() == 255
        centre = [((np.arange(28) + 0.5) * image.sum(axis)).sum() / image.sum() for axis in (1, 0)]
        np.testing.assert_allclose(centre, [14, 14], atol=0.5)
        clear(page)


def test_every_example_has_its_digit_and_a_form_that_is_kept(page: "Page") -> None:
    images, labels = drawn.draw(100, exported.EXAMPLE_SEED)
    for digit in range(10):
        button = page.get_by_role("button", name=f"Example of {digit}")
        for image in images[labels == digit][: exported.EXAMPLES]:
            shown = button.evaluate("(button) => (button.click(), Array.from(lenet5.image()))")
            assert shown == (image // 16 * 17).ravel().tolist()


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 190)])
def test_pictures_are_read(page: "Page", ink: int, paper: int) -> None:
    for digit in (2, 4, 7):
        picture = BytesIO()
        drawing(digit, 300, ink, paper).save(picture, "PNG")
        page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": picture.getvalue()})
        until(page, "lenet5.image().some(Boolean)")
        assert answer(page) == str(digit)
        clear(page)


def hand_over(page: "Page", content: bytes, event: str) -> None:
    """Drop or paste a file on the page."""
    encoded = base64.b64encode(content).decode()
    page.evaluate(
        """([encoded, event]) => {
            const files = new DataTransfer();
            files.items.add(new File([Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0))], "x.png"));
            const options = { bubbles: true, cancelable: true };
            document.body.dispatchEvent(event === "drop"
                ? new DragEvent("drop", { ...options, dataTransfer: files })
                : new ClipboardEvent("paste", { ...options, clipboardData: files }));
        }""",
        [encoded, event],
    )


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_of_mnist_is_taken_as_it_is(page: "Page", event: str) -> None:
    images, _ = drawn.draw(1, seed=5)
    for image in (images[0], 255 - images[0]):  # on black or on white
        picture = BytesIO()
        Image.fromarray(image).save(picture, "PNG")
        hand_over(page, picture.getvalue(), event)
        until(page, "lenet5.image().some(Boolean)")
        assert (seen(page) == images[0]).all()
        clear(page)


def test_thin_strokes_of_a_large_picture_are_widened_where_it_has_mnists_form_too(page: "Page") -> None:
    image = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(image).line([(140, 40), (140, 239)], fill=0, width=6)
    hand_over(page, written(image).getvalue(), "drop")
    until(page, "lenet5.image().some(Boolean)")
    strokes = seen(page)[4:24].sum(axis=1) / 255
    np.testing.assert_allclose(strokes, 2.6, atol=0.4)


def test_the_latest_of_two_pictures_stays(page: "Page") -> None:
    """The first is decoded last, as a large photograph may be."""
    page.evaluate(
        """() => {
            const decode = createImageBitmap;
            const held = new Promise((release) => (window.release = release));
            window.createImageBitmap = async (file) => {
                window.createImageBitmap = decode;
                await held;
                const bitmap = await decode(file);
                window.decodedLate = true;
                return bitmap;
            };
        }"""
    )
    images, _ = drawn.draw(2, seed=5)
    for image in images:
        picture = BytesIO()
        Image.fromarray(image).save(picture, "PNG")
        hand_over(page, picture.getvalue(), "drop")
    until(page, "lenet5.image().some(Boolean)")
    page.evaluate("release()")
    until(page, "window.decodedLate")
    assert (seen(page) == images[1]).all()


def test_a_picture_ends_the_stroke_that_it_comes_into(page: "Page") -> None:
    """More of it was shown on the pad, and not seen by the network."""
    box = page.locator("#pad").bounding_box()
    assert box
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.evaluate("document.querySelector('#examples button').click()")
    shown = page.evaluate("document.getElementById('pad').toDataURL()")
    page.mouse.move(box["x"] + 200, box["y"] + 30)
    page.mouse.up()
    assert page.evaluate("document.getElementById('pad').toDataURL()") == shown


@pytest.mark.parametrize("size", [(28, 28), (60, 60), (90, 40), (31, 200), (9, 20), (1, 3), (32, 28)])
def test_a_model_of_pictures_as_they_are_reads_them_so(as_is: "Page", size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    picture = BytesIO()
    Image.fromarray(pixels).save(picture, "PNG")
    clear(as_is)
    hand_over(as_is, picture.getvalue(), "drop")
    until(as_is, "lenet5.image().some((pixel) => pixel < 255)")  # the empty pad is white
    assert np.abs(seen(as_is) - read_sample(pixels, as_is=True).astype(int)).max() <= 1


def test_a_drawing_is_dark_on_white_to_a_model_of_pictures_as_they_are(as_is: "Page") -> None:
    clear(as_is)
    draw(as_is, 1)
    image = seen(as_is)
    assert image[0, 0] == 255
    assert image.min() < 64
    assert as_is.locator("#form").inner_text().endswith("the picture as it is, scaled to fit.")
    assert as_is.locator("#example-tools").is_hidden()
    told = "32 × 32: the picture with 2 pixels of black around it; black is 0, white 1, from 40 of 255 on."
    assert as_is.locator(".what").first.inner_text() == told
    corner = "document.getElementById('{}').getContext('2d').getImageData(2, 2, 1, 1).data"
    paper = as_is.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--low')")
    assert bytes(as_is.evaluate(f"Array.from({corner.format('seen')})")[:3]).hex() == paper.strip(" #")


def test_what_is_no_picture_is_said(page: "Page") -> None:
    hand_over(page, b"GIF89a, or so", "drop")
    until(page, "document.getElementById('notice').textContent")
    assert page.locator("#notice").inner_text() == "x.png: not a picture that this browser can read"
    blank = BytesIO()
    Image.new("L", (50, 40), 200).save(blank, "PNG")
    hand_over(page, blank.getvalue(), "drop")
    until(page, "document.getElementById('notice').textContent.includes('ink')")
    assert page.locator("#notice").inner_text() == "x.png: no ink found in this picture"
    assert answer(page) == "–"
    draw(page, 1)
    assert answer(page) == "1"
    assert page.locator("#notice").inner_text() == ""


def test_the_models_threshold_decides_what_is_no_digit(opened: Open) -> None:
    network = LeNet5.load()
    images, _ = drawn.draw(20, seed=3)
    distances = -network.scores(images).max(1)
    network.distances = np.full(2, np.quantile(distances, 0.1))
    page = opened(network)
    answers = of_images(page, "answer", images)
    read = network.scores(images).argmax(1)
    expected = [str(k) if near else None for k, near in zip(read, distances <= network.threshold, strict=True)]
    assert answers == expected
    draw(page, 2)
    assert answer(page) == "no digit"
    assert f"beyond {network.threshold:.1f} it is no digit" in page.locator("#reason").inner_text()


def test_the_page_says_what_its_layers_read_and_what_is_no_class(
    opened: Open, page_of: Callable[[str], "Page"]
) -> None:
    """A map of the paper's c3 was said to read all maps below, a unit all 1 maps; what is no class, no character."""
    sparse = page_of("the paper's").locator(".what").all_inner_texts()
    assert sparse[3] == "Each map slides a 5 × 5 kernel over each map below that it reads, and sums."
    assert sparse[5] == "Each unit sums all 16 maps below, each value times a weight."
    network = LeNet5(Config(seed=1, maps="1,1,1"), LETTERS)
    network.distances = np.zeros(2)
    page = opened(network)
    told = page.locator(".what").all_inner_texts()
    assert told[5] == "Each unit sums the map below, each value times a weight."
    assert told[6] == "Each unit sums the unit below, each times a weight."
    draw(page, 2)
    assert answer(page) == "no class"
    assert page.locator("#caption").inner_text().endswith("; beyond 0.0 it is no class.")


@pytest.mark.parametrize("names", [("a", "hundred and 12", "c1"), tuple(f"c{k}" for k in range(128))], ids=len)
def test_bars_begin_at_one_place_and_names_are_whole(opened: Open, names: tuple[str, ...]) -> None:
    """Bars that began behind their names could not be compared, and 128 cards were all called c."""
    codes = np.random.default_rng(1).integers(0, 2, (len(names), 84), np.uint8)
    page = opened(LeNet5(Config(seed=1, init="normal"), glyphs.Sheet(codes, names)))
    draw(page, 2)
    rendered(page)
    lefts = "[...document.querySelectorAll('.track')].map((track) => Math.round(track.getBoundingClientRect().left))"
    assert len(set(page.evaluate(lefts))) == 1
    cut = "[...document.querySelectorAll('.name')].filter((name) => name.scrollWidth > name.clientWidth)"
    assert page.evaluate(f"{cut}.map((name) => name.innerText)") == [name for name in names if len(name) > 4]


def test_distances_stand_beside_short_names_however_long_they_are(opened: Open) -> None:
    """Those with three digits before the point went below the name, and the cards moved with the strokes."""
    network = LeNet5(replace(PAPER, maps="1,1,1", connections="full"))
    network.layers[-2].params["bias"][...] = 3 * network.layers[-1].codes[0]  # near to the 0, far from the others
    page = opened(network)
    draw(page, 2)
    rendered(page)
    assert {len(number) for number in page.locator(".card .number").all_inner_texts()} == {4, 5}
    middle = "(part) => { const { top, height } = part.getBoundingClientRect(); return top + height / 2; }"
    names, numbers = (
        page.locator(f".card .{part}").evaluate_all(f"(all) => all.map({middle})") for part in ("name", "number")
    )
    np.testing.assert_allclose(names, numbers, rtol=0, atol=5)
    assert "Each map slides a 5 × 5 kernel over each map below, and sums." in page.locator("#layers").inner_text()


@pytest.mark.parametrize("name", ["bundled", "the paper's", "other maps, 26 classes"])
def test_the_inspector_shows_the_networks_numbers(page_of: Callable[[str], "Page"], name: str) -> None:
    """For an output of every layer: the one that the network computes, by a click on its place."""
    network = NETWORKS[name]()
    page = page_of(name)
    known = network.names[5]
    page.get_by_role("button", name=f"Example of {known}").click()
    maps = network.maps(seen(page)[None])
    for index, layer in enumerate(network.layers[:-1], start=1):
        canvas = page.locator("#layers canvas").nth(index)
        canvas.focus()
        for key in ("PageDown", "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        title = page.locator("#inspector h2").inner_text()
        place = tuple(map(int, re.findall(r"(?:map|row|column|unit) (\d+)", title)))
        y = maps[layer.name].reshape(layer.output_shape)[place + (0,) * (len(layer.output_shape) - len(place))]
        lines = ledger(page)
        assert title.startswith(f"{layer.name} · ")
        assert lines[f"y = {layer.activation.name}(z)"] == pytest.approx(y, abs=SHOWN)  # type: ignore[attr-defined]
        assert max(place) > 0
    page.get_by_role("button", name=f"glyph {known}: distance", exact=False).click()
    assert ledger(page)["distance"] == pytest.approx(-maps["output"][0, 5], abs=SHOWN)


def test_a_sum_is_computed_term_by_term(page: "Page") -> None:
    """Output (k, i, j) of c3 is its 150 products, one after the other, then the bias, then the sigmoid."""
    network = LeNet5.load()
    page.get_by_role("button", name="Example of 5").click()
    page.locator("#layers canvas").nth(3).click(position={"x": 4 * 3 + 2, "y": 4 * 6 + 2})
    assert page.locator("#inspector h2").inner_text() == "c3 · map 0, row 6, column 3"
    x = network.maps(seen(page)[None])["s2"][0, :, 6:11, 3:8]
    c3 = network.layers[2]
    products = (x * c3.params["weight"][0]).ravel()
    slider = page.get_by_role("slider", name="Terms summed")
    for terms in (0, 1, 30, 149):
        slider.fill(str(terms))
        lines = ledger(page)
        assert lines["sum so far"] == pytest.approx(products[:terms].sum(), abs=SHOWN)
        assert np.isnan(lines["z"])
    page.get_by_role("button", name="One step forward").click()
    lines = ledger(page)
    assert lines["sum"] == pytest.approx(products.sum(), abs=SHOWN)
    assert lines["z"] == pytest.approx(products.sum() + c3.params["bias"][0], abs=SHOWN)
    numbers = page.locator(".grid").first.locator("td").all_inner_texts()
    assert numbers == [f"{value:.2f}" for value in x[-1].ravel()]  # of the map with the latest terms


def test_a_sum_plays(page: "Page") -> None:
    page.locator("#layers canvas").nth(2).click(position={"x": 5, "y": 5})
    page.get_by_role("button", name="Play").click()
    until(page, "document.querySelector('.term').textContent.startsWith('Term 2 of 4')")
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Play").is_visible()


def test_the_keyboard_draws(page: "Page") -> None:
    page.locator("#pad").focus()
    for _ in range(10):
        page.keyboard.press("ArrowUp")
    page.keyboard.press(" ")
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    assert answer(page) == "1"


def test_a_space_bar_that_is_held_puts_the_pen_down_once(page: "Page") -> None:
    page.locator("#pad").focus()
    for _ in range(2):  # the second is a repetition
        page.keyboard.down(" ")
    page.keyboard.up(" ")
    for _ in range(10):
        page.keyboard.press("ArrowDown")
    rows, _ = np.nonzero(seen(page))
    assert np.ptp(rows) + 1 == 20
    columns = np.nonzero(seen(page).any(axis=0))[0]
    assert np.ptp(columns) + 1 < 10


def test_on_a_phone_the_inspector_opens_below_the_layer_that_stays_in_place(page: "Page") -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    page.locator("#layers canvas").nth(1).click(position={"x": 5, "y": 5})
    canvas = page.locator("#layers canvas").nth(4)
    canvas.scroll_into_view_if_needed()
    before = canvas.bounding_box()
    canvas.click(position={"x": 5, "y": 5})
    after, panel = canvas.bounding_box(), page.locator("#inspector").bounding_box()
    assert before
    assert after
    assert panel
    assert after["y"] == pytest.approx(before["y"], abs=1)
    assert 0 < panel["y"] - after["y"] - after["height"] < 40


@pytest.mark.parametrize("width", [360, 820, 1340, 1440])
def test_nothing_is_wider_than_the_screen(page: "Page", width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    for index in range(1, 7):
        page.locator("#layers canvas").nth(index).click(position={"x": 5, "y": 5})
        rendered(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        fits = "(e) => e.scrollWidth <= e.clientWidth"
        assert page.evaluate(f"[...document.querySelectorAll('.grids, .grid td')].every({fits})")


def test_light_and_dark(page: "Page") -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    until(page, "document.documentElement.dataset.theme === 'dark'")
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Light theme").click()
    assert (page.evaluate(paper), dark) == (light, "rgb(16, 18, 23)")


def test_everything_to_use_has_a_name(page: "Page") -> None:
    """Chromium's own tree for screen readers holds no control without a name, and the answer is announced."""
    draw(page, 2)
    tree = page.locator("body").aria_snapshot()
    assert re.findall(r"- (?:button|slider|application|img|img|region)(?: \[.*)?$", tree, re.MULTILINE) == []
    until(page, "document.getElementById('said').textContent.startsWith('2. The nearest glyph is 2')")


HOSTILE = [
    "</script><script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 1'>",
    "--><svg/onload=window.owned=1>\u2028\u2029<!--",
    "${window.owned = 1}`$model\\",
    "\u202e\ud800\x00&lt;b&gt;",
]


def test_a_strangers_texts_are_inert(opened: Open) -> None:
    text = " ".join(HOSTILE)
    epoch = Epoch(1, loss=0.1, accuracy=0.9, lr=0.1, images=1, seconds=1)
    page = opened(LeNet5.load(), Checkpoint([], config={text: text}, history=[epoch], data={"name": text}))
    assert page.evaluate("window.owned") is None
    assert page.evaluate("document.scripts.length") == 2
    assert not page.evaluate("document.images.length")
    page.locator("summary").click()
    assert printable(text) in page.locator("#about").inner_text()
    draw(page, 2)
    assert answer(page) == "2"


def test_the_policy_refuses_requests_and_scripts(browser: "Browser", tmp_path: Path) -> None:
    (tmp_path / "x.html").write_bytes(exported.render(LeNet5.load(), Checkpoint([])))
    page = browser.new_page()
    page.goto((tmp_path / "x.html").as_uri())
    asked = page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'refused')")
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.owned = 1";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<button id=x onclick='window.owned = 1'>x</button>");
            document.getElementById("x").click();
        }"""
    )
    assert (asked, page.evaluate("window.owned")) == ("refused", None)
    page.close()


def parts(page: bytes) -> tuple[str, str, str, str]:
    """Return a page's policy, style, model and script."""
    pattern = r'Policy" content="(.*?)".*<style>(.*)</style>.*json".*?>(.*?)</script>\n<script>(.*)</script>'
    found = re.search(pattern, page.decode(), re.DOTALL)
    assert found
    return found[1], found[2], found[3], found[4]


def test_the_page_is_one_small_file_that_names_nothing_outside() -> None:
    page = exported.render(LeNet5.load(), Checkpoint([]))
    policy, style, model, script = parts(page)
    for text in (style, script):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert len(page) < 600_000
    assert not set("<>&") & set(model)
    assert json.loads(model)["names"] == [str(k) for k in range(10)]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|import\b|fetch|XMLHttp|innerHTML|eval\(", page.decode())


def test_the_same_network_gives_the_same_page() -> None:
    saved = Checkpoint([])
    assert exported.render(LeNet5.load(), saved) == exported.render(LeNet5.load(), saved)


def test_the_page_tells_how_its_model_was_trained() -> None:
    epochs = [Epoch(n, loss=0.1, accuracy=0.9 + 0.01 * n, lr=0.1, images=1, seconds=1) for n in (1, 2)]
    page = exported.render(LeNet5.load(), Checkpoint([], history=epochs, data={"name": "mine"}))
    about = dict(json.loads(parts(page)[2])["about"])
    assert about["trained on"] == "mine"
    assert about["epochs"] == "2"
    assert about["accuracy in the last epoch"] == "92.00 % of the training images"


def test_the_forward_pass_is_short() -> None:
    """It is to be read in a class."""
    assert len((exported.WEB / "network.js").read_text(encoding="utf-8").splitlines()) < 120
