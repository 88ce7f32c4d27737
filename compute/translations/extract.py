"""What must be translated: the marks of templates, Python and scripts, and the words of the tables."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from django.conf import settings
from django.forms import BaseForm, Field
from django.forms.utils import pretty_name
from django.template import Template
from django.template.base import Node, NodeList
from django.templatetags.i18n import BlockTranslateNode, TranslateNode
from django.utils.translation import trim_whitespace

from compute.admin_words import CONTEXT as ADMIN
from compute.admin_words import admin_labels
from compute.menu import CONTEXT as MENU
from compute.menu import menu_labels
from compute.services.actions import actions_known, node_actions_known
from compute.states import Action, OperationState, action_words
from compute.told import CONTEXT as TOLD
from compute.told import WORD
from compute.translations.told import told_messages
from compute.wording import STEP, words_known

Message = str | tuple[str, ...]
Found = tuple[str, Message, str | None]

_CODE = ("compute", "dockerapp", "kvm")
_PYTHON_KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "later": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
}
_SCRIPT_KEYWORDS = {"gettext": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
# In arguments of other tags and filters: {% include "…" with title=_("Usage") %}
_ARGUMENT = re.compile(r"""\b_\((?:"([^"]+)"|'([^']+)')\)""")
_TAG = re.compile(r"\{[%{].*?[%}]\}", re.DOTALL)


def messages_of(domain: str) -> Catalog:
    """Of ``django`` (pages) or ``djangojs`` (scripts): every message with the files it stands in."""
    # Menus and forms are there once the pages are.
    import_module(settings.ROOT_URLCONF)
    catalogue = Catalog(charset="utf-8")
    root = Path(settings.BASE_DIR)
    found = _pages(root) if domain == "django" else _scripts(root)
    for place, message, context in found:
        flags = {"python-format"} if domain == "django" and "%(" in str(message) else set()
        catalogue.add(message, locations=[(place, 1)], context=context, flags=flags)
    return catalogue


def _pages(root: Path) -> Iterator[Found]:
    for path in sorted((root / "templates").rglob("*.html")):
        for message, context in template_messages(path.read_text()):
            yield str(path.relative_to(root)), message, context
    for folder in _CODE:
        yield from _marked(root, folder, "*.py", "python")
    titles = {each.title for each in actions_known()} | {each.title for each in node_actions_known()}
    for word in sorted(words_known() | titles):
        yield "compute/wording.py", word, WORD
    for step in sorted(_steps(root) | _ROWS_OWN_STEPS):
        yield "compute/execution/report.py", step, STEP
    for place, message in told_messages(root, _CODE):
        yield place, message, TOLD
    for label in sorted(admin_labels()):
        yield "compute/admin_words.py", label, ADMIN
    for label in sorted(menu_labels()):
        yield "compute/menu.py", label, MENU
    for label in sorted(_form_labels()):
        yield "compute/forms.py", label, None


def _scripts(root: Path) -> Iterator[Found]:
    yield from _marked(root, "static/js", "*.js", "javascript")
    for word in sorted({*Action, *OperationState}):
        yield "static/js/notify.js", action_words(word), WORD


# What a row says before a worker has it, and when it is through.
_ROWS_OWN_STEPS = {
    "Waiting for a worker",
    "Waits for a worker of the newer version of LibGo",
    "Beginning",
    "Done",
}


def _steps(root: Path) -> set[str]:
    """What workers say of their progress, where it names nothing."""
    trees = [ast.parse(path.read_text()) for folder in _CODE for path in (root / folder).rglob("*.py")]
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    told = [call.args[1] for call in calls if getattr(call.func, "attr", "") == "progress" and call.args[1:]]
    return {each.value for each in told if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def _form_labels() -> set[str]:
    """What Django makes of the names of fields without a label of their own."""
    kinds, labels = [BaseForm], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__module__.startswith(("compute.", "dockerapp.", "kvm.")):
            fields: dict[str, Field] = getattr(kind, "base_fields", {})
            labels |= {pretty_name(name) for name, field in fields.items() if field.label is None}
    return labels


def _marked(root: Path, folder: str, pattern: str, method: str) -> Iterator[Found]:
    keywords = _PYTHON_KEYWORDS if method == "python" else _SCRIPT_KEYWORDS
    for path in sorted((root / folder).rglob(pattern)):
        with path.open("rb") as file:
            for _, message, _, context in extract(method, file, keywords=keywords):
                yield str(path.relative_to(root)), message, context


def template_messages(source: str) -> Iterator[tuple[Message, str | None]]:
    """Read as the template engine reads it, so that nothing is found that it would not look for."""
    for node in _nodes(Template(source).nodelist):
        if isinstance(node, BlockTranslateNode):
            yield _block(node), _context(node)
        elif isinstance(node, TranslateNode) and isinstance(node.filter_expression.var.literal, str):
            yield node.filter_expression.var.literal.replace("%", "%%"), _context(node)
    for tag in _TAG.findall(source):
        for one, other in _ARGUMENT.findall(tag):
            yield one or other, None


def _nodes(nodes: NodeList) -> Iterator[Node]:
    return iter(nodes.get_nodes_by_type(Node))


def _block(node: BlockTranslateNode) -> Message:
    singular, _ = node.render_token_list(node.singular)
    plural, _ = node.render_token_list(node.plural) if node.plural else ("", [])
    if node.trimmed:
        singular, plural = trim_whitespace(singular), trim_whitespace(plural)
    return (singular, plural) if node.countervar else singular


def _context(node: BlockTranslateNode | TranslateNode) -> str | None:
    return str(node.message_context.var) if node.message_context else None
