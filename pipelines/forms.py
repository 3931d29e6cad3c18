"""Forms: of the pages, and those that the admin needs beside the ones it makes by itself.

Each names its fields; what a request holds beside them is never read. They check the shape of what was
typed; what may be stored is the services' to say, and `say` puts that at the field.
"""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.forms.fields import InvalidJSONInput
from django.forms.utils import flatatt
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pipelines.graph import codec, program
from pipelines.graph import signature as signatures
from pipelines.models import (
    ApprovedHost,
    Budget,
    Credential,
    LMProfile,
    Person,
    Project,
    Signature,
    SignatureVersion,
)
from pipelines.permissions import Action, projects_where


class PageForm(forms.Form):
    """Drawn by `partials/fields.html`: a label above, the hint below, which an error replaces."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _dress(self)

    def say(self, error: Exception, field: str | None = None) -> None:
        """Take over what a service refused."""
        say(self, error, field)


def say(form: forms.BaseForm, error: Exception, field: str | None = None) -> None:
    """Put what a service refused at the field, or at those that the error names."""
    if isinstance(error, ValidationError) and hasattr(error, "error_dict"):
        for name, messages in error.message_dict.items():
            form.add_error(name if name in form.fields else field, messages)
    else:
        form.add_error(field, error.messages if isinstance(error, ValidationError) else str(error))


def _dress(form: forms.BaseForm) -> None:
    for field in form.fields.values():
        if isinstance(field.widget, forms.CheckboxInput):
            field.widget.attrs.setdefault("class", "switch")
        else:
            field.widget.attrs.setdefault("class", "input")


def _one_line(label: str, length: int, **options: Any) -> forms.CharField:
    return forms.CharField(label=label, max_length=length, **options)


def _project_choice(user: Person, action: Action) -> "forms.ModelChoiceField[Project]":
    """The projects in which the person may do this. An offer: the service asks again."""
    return forms.ModelChoiceField(
        queryset=projects_where(user, action),
        required=False,
        empty_label="My own project",
        label="Project",
        widget=forms.Select(attrs={"class": "input"}),
    )


class CodeArea(forms.Textarea):
    """A text box in which code is typed; what is set on `<code-editor>` beside the language, as
    `static/src/site/codefields.ts` has it."""

    def __init__(self, language: str, attrs: Any = None, **data: str) -> None:
        super().__init__({"spellcheck": "false", "rows": 3, **(attrs or {})})
        self.data = {"language": language, **data}

    def render(self, *args: Any, **options: Any) -> SafeString:
        area = super().render(*args, **options)
        data = {f"data-{name}": value for name, value in self.data.items()}
        return format_html("<code-editor{}>{}</code-editor>", flatatt(data), area)


class JSONArea(CodeArea):
    def __init__(self, attrs: Any = None) -> None:
        super().__init__("json", attrs)


class JSONText(forms.JSONField):
    """JSON that people type. What is nested too deeply for Python's reader is no JSON, too."""

    widget = JSONArea

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except RecursionError:
            raise ValidationError("Not JSON: it is nested too deeply.", code="invalid") from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return super().bound_data(data, initial)
        except RecursionError:
            return InvalidJSONInput(data)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return super().has_changed(initial, data)
        except RecursionError:
            return True


class InProject(PageForm):
    """Something that is made in a project: one's own, when none is chosen."""

    action = Action.EDIT
    project: "forms.ModelChoiceField[Project]"

    def __init__(self, user: Person, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        choice = _project_choice(user, self.action)
        assert choice.queryset is not None
        personal = choice.queryset.filter(personal_of=user.pk).first()
        if personal:
            choice.empty_label, choice.initial = None, personal
        self.fields["project"] = choice


# Pipelines


class NewPipelineForm(InProject):
    name = _one_line("Name", 200, widget=forms.TextInput(attrs={"autofocus": True}))
    template = forms.CharField(required=False, max_length=50, widget=forms.HiddenInput)


class CopyPipelineForm(InProject):
    name = _one_line("Name", 200, widget=forms.TextInput(attrs={"autofocus": True}))


class RenamePipelineForm(PageForm):
    name = _one_line("Name", 200, widget=forms.TextInput(attrs={"autofocus": True}))
    description = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 3})
    )


class PublishForm(PageForm):
    note = forms.CharField(
        label="What is new",
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3, "autofocus": True}),
        help_text="Runs, other pipelines and the API can name this version. It never changes again.",
    )
    revision = forms.IntegerField(min_value=0, max_value=2**31 - 1, widget=forms.HiddenInput)


class ImportPipelineForm(InProject):
    file = forms.FileField(
        label="Pipeline file",
        required=False,
        widget=forms.FileInput(attrs={"accept": ".json,application/json"}),
    )
    text = forms.CharField(
        label="Or its text",
        required=False,
        max_length=codec.MAX_TEXT,
        strip=False,
        widget=JSONArea({"class": "input mono"}),
    )

    def clean_file(self) -> "UploadedFile[Any] | None":
        file: UploadedFile[Any] | None = self.cleaned_data["file"]
        if file and (file.size or 0) > codec.MAX_TEXT:
            raise ValidationError(
                f"The file is {file.size:,} bytes long; {codec.MAX_TEXT:,} is the limit. "
                "Take large texts out of it: documents belong in a collection."
            )
        return file

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if not values.get("file") and not values.get("text") and not self.errors:
            raise ValidationError({"file": "Choose a file, or paste its text."})
        return values

    def content(self) -> str | bytes:
        """What to import; call it on a valid form."""
        file = self.cleaned_data["file"]
        content: str | bytes = file.read() if file else self.cleaned_data["text"]
        return content


class ImportProgramForm(PageForm):
    file = forms.FileField(
        label="Program file",
        help_text='What program.save("program.json") wrote. Its predictors go to the nodes of their '
        "names, with instructions, descriptions and demos. Undo takes it back.",
        error_messages={"required": "Choose a file.", "empty": "The file is empty."},
        widget=forms.FileInput(attrs={"accept": ".json,application/json"}),
    )

    def clean_file(self) -> "UploadedFile[Any]":
        file: UploadedFile[Any] = self.cleaned_data["file"]
        if (file.size or 0) > program.MAX_BYTES:
            raise ValidationError(
                f"The file is {file.size:,} bytes long; {program.MAX_BYTES:,} is the limit. "
                "Save the program with fewer demos."
            )
        return file


# Signatures


class NewSignatureForm(InProject):
    action = Action.MANAGE_SIGNATURES
    name = _one_line("Name", 100, widget=forms.TextInput(attrs={"autofocus": True}))
    description = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 2})
    )


class SignatureTextForm(PageForm):
    """A version's content. Descriptions and constraints by field come as JSON."""

    text = forms.CharField(max_length=signatures.MAX_TEXT, widget=forms.Textarea)
    instructions = forms.CharField(
        required=False, max_length=100_000, widget=forms.Textarea(attrs={"rows": 3})
    )
    descriptions = JSONText(required=False, initial=dict)
    constraints = JSONText(required=False, initial=dict)
    types = JSONText(required=False, initial=dict)
    note = _one_line("What changed", 2_000, required=False)

    def parts(self) -> dict[str, Any]:
        """What `signature.parse` takes."""
        values = self.cleaned_data
        return {
            "text": values.get("text", ""),
            "instructions": values.get("instructions", ""),
            **{key: values.get(key) or {} for key in ("descriptions", "constraints", "types")},
        }


# Collections


class NewCollectionForm(InProject):
    action = Action.MANAGE_COLLECTIONS
    name = _one_line(
        "Name",
        100,
        help_text="What nodes call it.",
        widget=forms.TextInput(attrs={"autofocus": True}),
    )
    description = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 2})
    )


class ManyFiles(forms.FileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """A list of files, each of which is checked as one would be."""

    widget = ManyFiles

    def clean(self, data: Any, initial: Any = None) -> Any:
        check = super().clean
        files = data if isinstance(data, list) else [data]
        return [check(each, initial) for each in files or [None]]


class UploadForm(PageForm):
    """Documents from files. What they hold is read by `views.document_files`."""

    HOW = (("add", "Add to the documents"), ("replace", "Replace all documents"))
    documents = ManyFilesField(
        label="Files",
        widget=ManyFiles(attrs={"accept": ".txt,.md,.markdown,.csv,.jsonl"}),
        help_text="Text and Markdown: one document a file. CSV and JSON Lines: one a row, with a "
        "column or key “text” and, if you like, “title”.",
    )
    how = forms.ChoiceField(label="What to do", choices=HOW, initial="add")


# LM profiles


_PROFILE_GROUPS = (
    ("", ("name", "adapter", "model", "base_url", "credential", "is_default")),
    ("Answers", ("format", "temperature", "max_tokens", "structured")),
    ("Limits", ("concurrency", "requests_per_minute", "tokens_per_minute", "retries")),
    (
        "Time limits, in seconds",
        ("connect_timeout", "first_token_timeout", "timeout"),
    ),
    (
        "Prices, in US dollars per million tokens",
        ("input_price", "cached_input_price", "output_price"),
    ),
    ("Settings of the adapter", ("settings",)),
)


class LMProfileForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    class Meta:
        model = LMProfile
        fields = [
            *("name", "is_default", "adapter", "model", "base_url", "credential"),
            *("format", "structured", "temperature", "max_tokens"),
            *("concurrency", "requests_per_minute", "tokens_per_minute"),
            *("connect_timeout", "first_token_timeout", "timeout", "retries"),
            *("input_price", "cached_input_price", "output_price", "settings"),
        ]
        labels = {
            "is_default": "Default of the project",
            "base_url": "Address",
            "credential": "Key",
            "structured": "Structured answers",
            "max_tokens": "Most tokens",
            "requests_per_minute": "Requests a minute",
            "tokens_per_minute": "Tokens a minute",
            "connect_timeout": "Connect",
            "first_token_timeout": "First token",
            "timeout": "Whole attempt",
            "input_price": "Input",
            "cached_input_price": "Cached input",
            "output_price": "Output",
        }
        field_classes = {"settings": JSONText}
        widgets = {"settings": JSONArea({"class": "input mono"})}

    def __init__(self, *args: Any, user: Person, **options: Any) -> None:
        super().__init__(*args, **options)
        keys = self.fields["credential"]
        assert isinstance(keys, forms.ModelChoiceField)
        keys.queryset = Credential.objects.visible_to(user).filter(project=self.instance.project)
        keys.empty_label = "No key"
        self.fields["model"].help_text = "The provider's name for it."
        _dress(self)

    @property
    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The fields as the page shows them, under their headings."""
        return [(title, [self[name] for name in names]) for title, names in _PROFILE_GROUPS]

    def _post_clean(self) -> None:
        """The service checks the whole of it, once."""
        for name in self._meta.fields or ():
            if name in self.cleaned_data:
                setattr(self.instance, name, self.cleaned_data[name])


class NewLMProfileForm(InProject):
    """The first few fields; the rest has defaults that the profile's own page changes."""

    action = Action.MANAGE_LM_PROFILES
    name = _one_line(
        "Name",
        100,
        help_text="What nodes call it.",
        widget=forms.TextInput(attrs={"autofocus": True}),
    )
    adapter = forms.ChoiceField(choices=LMProfile.Adapter.choices)
    model = _one_line("Model", 200, required=False, help_text="The provider's name for it.")
    base_url = _one_line(
        "Address",
        2_000,
        required=False,
        help_text="On an approved host: https://api.example.com/v1",
    )


class NewCredentialForm(InProject):
    """The key is taken and never given back, not even to the page that took it."""

    action = Action.MANAGE_CREDENTIALS
    name = _one_line("Name", 100, widget=forms.TextInput(attrs={"autofocus": True}))
    host = forms.ModelChoiceField(
        queryset=ApprovedHost.objects.all(),
        help_text="The key is shown to this host and no other.",
    )
    secret = forms.CharField(
        label="Key",
        max_length=4_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Encrypted when it is stored, and never shown again. "
        "A key under the same name is replaced.",
    )


class BudgetForm(InProject):
    """What a project may spend. Sent without a limit, it takes the budget away."""

    action = Action.MANAGE_PROJECT
    period = forms.ChoiceField(
        label="For", choices=Budget.Period.choices, initial=Budget.Period.DAY
    )
    tokens = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=2**53,
        label="Tokens",
        help_text="Input and output together. Empty: no limit.",
    )
    cost = forms.FloatField(
        required=False,
        min_value=0,
        label="US dollars",
        help_text="By the prices of the LM profiles. Empty: no limit. "
        "With both empty there is no budget.",
    )


# The admin's


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """The key is taken and never given back, not even to the page that took it."""

    secret = forms.CharField(
        label="Key",
        strip=True,
        max_length=4_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Encrypted when it is stored, and never shown again.",
    )

    class Meta:
        model = Credential
        fields = ["project", "name", "host"]


LIVE = ("text", "instructions", "descriptions", "constraints", "types")
"""The fields of a signature that are read while they are typed."""


def _parse_while_typed(form: forms.BaseForm) -> None:
    """Sends what is typed, and what is there from the start, to be shown as fields and schema."""
    begins = form.is_bound or form.initial.get("text")
    form.fields["text"].widget = CodeArea(
        "signature",
        form.fields["text"].widget.attrs,
        words=reverse("pipelines:code_words"),
        types="id_types",
        problems="text-error",
    )
    for name in LIVE:
        typed = "input changed delay:120ms"
        form.fields[name].widget.attrs |= {
            "rows": 4 if name == "instructions" else 2,
            "spellcheck": "true" if name == "instructions" else "false",
            "hx-post": reverse("pipelines:parse_signature"),
            "hx-include": "closest form",
            "hx-trigger": f"load, {typed}" if begins and name == "text" else typed,
            "hx-swap": "none",
            "hx-sync": "closest form:replace",
        }


def _check_signature(values: dict[str, Any]) -> None:
    """A ValidationError at the text for what is no signature."""
    extras = {name: values.get(name) or {} for name in ("descriptions", "constraints", "types")}
    try:
        signatures.parse(values["text"], instructions=values.get("instructions", ""), **extras)
    except signatures.SignatureError as error:
        place = f" (at character {error.position + 1})" if error.position else ""
        raise ValidationError({"text": f"{error.message}{place}"}) from None


class SignatureVersionForm(forms.ModelForm):  # type: ignore[type-arg]
    """A signature with what its text can't hold; what is wrong is said at the text."""

    class Meta:
        model = SignatureVersion
        fields = ["signature", *LIVE, "note"]
        field_classes = dict.fromkeys(("descriptions", "constraints", "types"), JSONText)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "text" in self.fields:  # not when it is only shown
            _parse_while_typed(self)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if "text" in values:
            _check_signature(values)
        return values


class RegisteredSignatureForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new entry of the registry with its first version, or without one yet."""

    text = forms.CharField(
        label="Signature",
        required=False,
        max_length=signatures.MAX_TEXT,
        widget=forms.Textarea,
        help_text="Such as: question, context: list[str] -> answer, score: float",
    )
    instructions = forms.CharField(
        required=False,
        max_length=100_000,
        widget=forms.Textarea,
        help_text="What the model is told. Made from the fields when empty.",
    )
    descriptions = JSONText(required=False, initial=dict, help_text="Texts by the names of fields.")
    constraints = JSONText(
        required=False, initial=dict, help_text='By field, such as {"score": {"ge": 0, "le": 1}}.'
    )
    types = JSONText(
        required=False, initial=dict, help_text="JSON Schemas by the names of types of your own."
    )

    class Meta:
        model = Signature
        fields = ["name", "project", "description"]
        help_texts = {"project": "Without one, it is everybody's."}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _parse_while_typed(self)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if values.get("text"):
            _check_signature(values)
        return values
