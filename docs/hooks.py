"""What mkdocs cannot do alone: pages from above docs/, links into the code, and no request to another host.

The Markdown files link as they do on GitHub, relative to where they lie in the repository. On the site, README.md is
the home page, and the files that such links lead to are copied beside the pages.
"""

import re
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
# Pages from above docs/, and what the site calls them.
PAGES = {"README.md": "index.md"} | {name: name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")}
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>(?!https?:)[^)#]+)(?P<heading>[^)]*)\)")
FOREIGN = re.compile(
    r"<(?:script|img|iframe)[^>]* src=\"https?:|<link[^>]* rel=\"(?:stylesheet|preload)[^>]* href=\"https?:"
)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from above docs/, and every file outside docs/ that a page links to."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    targets = {_repository_path(page, link) for page in files.documentation_pages() for link in _links(page)}
    for target in sorted(filter(_is_copied, targets)):
        files.append(File.generated(config, f"source/{target}", abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links on the site; a folder is none there, and loses its link."""

    def on_site(link: re.Match[str]) -> str:
        target = _repository_path(page.file, link["path"])
        if target.startswith("docs/"):
            place = target.removeprefix("docs/")
        elif target in PAGES or _is_copied(target):
            place = PAGES.get(target, f"source/{target}")
        else:
            return link["text"]
        return f"[{link['text']}]({relpath(place, Path(page.file.src_uri).parent)}{link['heading']})"

    return LINK.sub(on_site, markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that would load anything from another host."""
    if found := FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri}: {found[0]}...: loads something from another host")
    return output


def _links(page: File) -> list[str]:
    return [link["path"] for link in LINK.finditer(page.content_string)]


def _repository_path(page: File, link: str) -> str:
    origin = next((source for source, name in PAGES.items() if name == page.src_uri), f"docs/{page.src_uri}")
    return normpath(str(Path(origin).parent / link))


def _is_copied(target: str) -> bool:
    hidden = target.startswith(".")  # mkdocs leaves these out
    return not target.startswith("docs/") and target not in PAGES and not hidden and (ROOT / target).is_file()
