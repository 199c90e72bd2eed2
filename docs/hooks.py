"""What the guide's build adds to MkDocs: notebooks as pages, executed; links that leave the guide as text."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

NOTEBOOK = re.compile(r"\((notebooks/[^)]+)\.ipynb\)")
OUTSIDE = re.compile(r"(!?)\[([^\]]+)\]\((?:\.\./)+([^)#]+)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Files of the repository that are no pages are named alone; links to notebooks are to their pages."""
    markdown = NOTEBOOK.sub(r"(\1.md)", markdown)
    return OUTSIDE.sub(lambda m: f"{m[2]} (`{m[3]}` in the repository)", markdown)


def on_files(files: Files, config: Any) -> Files:
    """Every notebook as a page of what it says and prints when it is run now."""
    for path in sorted((Path(config["docs_dir"]) / "notebooks").glob("*.ipynb")):
        body, images = executed(path)
        name = f"notebooks/{path.stem}"
        files.append(File.generated(config, f"{name}.md", content=body))
        for image, content in images.items():
            files.append(File.generated(config, f"notebooks/{image}", content=content))
        known = files.get_file_from_path(f"{name}.ipynb")
        if known is not None:
            files.remove(known)
    return files


def executed(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook's Markdown and images after a run in an empty folder; a cell that fails ends the build."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        if "GUIDE_DRAFT" not in os.environ:  # which leaves notebooks unrun, while pages are written
            NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    exported = {"unique_key": path.stem, "output_files_dir": "."}
    body, found = MarkdownExporter(exclude_output_prompt=True).from_notebook_node(notebook, exported)
    images = {Path(name).name: content for name, content in found["outputs"].items()}
    # Tables of pandas in the theme's dress, which also lets wide ones scroll.
    body = re.sub(r'<table border="1" class="dataframe">', "<table>", body).replace("(./", "(")
    return re.sub(r"<style scoped>.*?</style>\n?", "", body, flags=re.DOTALL), images
