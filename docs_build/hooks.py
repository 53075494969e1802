"""What the site has beside docs/: pages made from the code, and the files that docs link to.

Links stay as they are in docs/, so that they work where the files are read as they lie. One that
leads out of docs/ is turned to the page or file that stands for it in the site; if none does, it
stays, and a strict build fails.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference import pages  # beside this file, where mkdocs looks for what a hook imports

ROOT = Path(__file__).parent.parent
LINK_OUT = re.compile(r"\]\(\.\./([^)\s#]+)")
FENCE_WITH_NAME = re.compile(r"^```(\w+) (\S+)$", re.M)
CODE = re.compile(r"`[^`\n]+`")
RENAMED = {"CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here, and the examples."""
    made = pages() | {"contributing.md": contributing()}
    for recipe in (ROOT / "recipes").rglob("*.yaml"):
        name = recipe.relative_to(ROOT)
        text = recipe.read_text("utf-8")
        made[name.with_suffix(".md").as_posix()] = f"# {name}\n\n```yaml\n{text}```\n"
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    for example in (ROOT / "examples").iterdir():
        name = example.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(example)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Write what GitHub and mkdocs read differently as mkdocs reads it."""
    if "/" not in page.file.src_uri:  # not one that was made here
        markdown = LINK_OUT.sub(lambda found: f"]({in_site(found[1])}", markdown)
    markdown = FENCE_WITH_NAME.sub(r'```\1 title="\2"', markdown)
    return CODE.sub(lambda found: found[0].replace(r"\|", "|"), markdown)  # in cells of tables


def in_site(path: str) -> str:
    """Where a file of the repository is in the site."""
    if path.startswith("recipes/") and path.endswith(".yaml"):
        return path.removesuffix(".yaml") + ".md"
    return RENAMED.get(path, path)


def contributing() -> str:
    """CONTRIBUTING.md, whose links lead into docs/."""
    return (ROOT / "CONTRIBUTING.md").read_text("utf-8").replace("](docs/", "](")
