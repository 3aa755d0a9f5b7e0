"""Build the static site: README and public names on the first page, one page per module, the notebooks as a gallery.

Usage: python docs/build.py OUTPUT_FOLDER
"""

from __future__ import annotations

import pkgutil
import re
import shutil
import sys
import warnings
from pathlib import Path

import nbconvert
import pdoc

import coherence
from coherence import gradient_flow

ROOT = Path(__file__).resolve().parents[1]


def first_page(notebooks: list[Path]) -> str:
    """The README with links that work in the site, and the gallery."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[(.*?)\]\(notebooks/pictures/(.*?)\)", r'<img src="pictures/\2" alt="\1" style="max-width: 100%">', text)
    text = text.removeprefix("# coherence\n")
    text = re.sub(r"\]\((?:docs/)?(\w+)\.md\)", r"](\1.html)", text)
    links = "\n".join(f"- [{path.stem}]({path.stem}.html)" for path in notebooks)
    return text.replace("\n## Sources", f"\n## Notebooks\n\n{links}\n\n## Sources")


def plain_page(markdown: Path, target: Path) -> None:
    """A Markdown file as a page in the same dress."""
    body = pdoc.render_helpers.to_html(markdown.read_text(encoding="utf-8"))
    style = (
        "body{font:16px/1.55 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}"
    )
    style += "td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left}code{background:#f4f4f4}"
    target.write_text(
        f'<!doctype html><meta charset="utf-8"><title>{markdown.stem}</title><style>{style}</style><p><a href="coherence.html">'
        f"coherence</a></p>{body}",
        encoding="utf-8",
    )


def build(out: Path) -> None:
    """Write the site into a folder, which is emptied first."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    rooms = [info.name for info in pkgutil.iter_modules(coherence.__path__, "coherence.") if not info.name.endswith("__main__")]
    # a package that lists its public names shows those only; the modules of this one hold the formulas
    rooms += [info.name for info in pkgutil.iter_modules(gradient_flow.__path__, "coherence.gradient_flow.")]
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for name in coherence.__all__:
        coherence.__dict__[name] = getattr(coherence, name)  # the names load on first use; the builder reads the dictionary
    coherence.__doc__ = first_page(notebooks)
    pdoc.render.configure(docformat="numpy", search=True, footer_text=f"coherence {coherence.__version__}", show_source=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Error parsing type annotation")  # of named tuples; the text is shown instead
        pdoc.pdoc("coherence", *rooms, output_directory=out)
    shutil.copytree(ROOT / "notebooks" / "pictures", out / "pictures")
    exporter = nbconvert.HTMLExporter()
    for path in notebooks:
        (out / f"{path.stem}.html").write_text(exporter.from_filename(str(path))[0], encoding="utf-8")
    for name in ("CONTRIBUTING", "CHANGELOG"):
        plain_page(ROOT / f"{name}.md", out / f"{name}.html")
    for path in sorted((ROOT / "docs").glob("*.md")):
        plain_page(path, out / f"{path.stem}.html")
    print(f"{out / 'index.html'}: {len(list(out.rglob('*.html')))} pages")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build(Path(sys.argv[1]))
