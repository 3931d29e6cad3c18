"""The mock that ships: answers from a script, streams them, fails when told to. Deterministic.

For tests, for seeing a pipeline move without a model, and as the zero of every measurement.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from itertools import pairwise
from typing import Annotated, Any

import msgspec

from runner.engine.errors import InvalidConfig
from runner.lm.adapters.adapter import Part
from runner.lm.errors import InvalidRequest, error_of
from runner.lm.patterns import pattern_in_linear_time
from runner.lm.types import LMProfile, LMRequest, LMResponse, Usage

# The scripted adapter has no tokenizer; this is the usual rule of thumb for English.
CHARACTERS_PER_TOKEN = 4

type AnswerOf = Callable[[LMRequest], "str | LMResponse"]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer. With `error` (a code of runner.lm.errors) it fails after streaming `text`."""

    text: str = ""
    error: str = ""
    message: str = ""
    retry_after: float | None = None
    finish_reason: str = "stop"
    tool_calls: list[dict[str, Any]] | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers when the last message contains `match`, or when `pattern` matches somewhere in it."""

    answer: str | Answer
    match: str = ""
    pattern: str = ""


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers a message that has words in common with `ask`."""

    ask: str
    answer: str | Answer


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a scripted profile.

    The first rule that matches answers; else, with `follow_demos`, the demo in the prompt whose input
    is that of the last message; else the example that is most like the last message, if it has a word
    in common with it; else the next of `answers`, whose last is repeated for ever.

    `delay` is seconds before the first piece or the failure, `chunk_delay` before every further one;
    `chunk_size` is characters a piece (0: the whole text). Of the calls, a share of `error_rate`
    fails with the code `error`, as `seed` decides.
    """

    answers: tuple[str | Answer, ...] = ()
    rules: tuple[Rule, ...] = ()
    examples: tuple[Example, ...] = ()
    follow_demos: bool = False
    delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    chunk_delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    chunk_size: Annotated[int, msgspec.Meta(ge=0)] = 0
    error_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    error: str = "server"
    seed: int = 0


class _Playing:
    """A script and how far it has been played."""

    def __init__(self, profile: LMProfile) -> None:
        settings = dict(profile.settings)
        self.profile = profile
        # Python only: no JSON becomes a callable.
        self._answer_of: AnswerOf | None = settings.pop("answer", None)
        self.script = _script(profile.name, settings)
        self._patterns = [_pattern(rule.pattern) for rule in self.script.rules]
        self._words = [_words_of(example.ask) for example in self.script.examples]
        self._random = random.Random(self.script.seed)  # noqa: S311 (a script, not a secret)
        self._played = 0

    def answer(self, request: LMRequest) -> Answer | LMResponse:
        script = self.script
        if script.error_rate and self._random.random() < script.error_rate:
            return Answer(error=script.error, message="The script says so.")
        answer: str | Answer | LMResponse | None
        if self._answer_of is not None:
            answer = self._answer_of(request)
        else:
            answer = self._by_rule(request) if script.rules else None
            if answer is None and script.follow_demos:
                answer = _by_demo(request)
            if answer is None and script.examples:
                answer = self._by_example(request)
            if answer is None:
                answer = self._next()
        return Answer(text=answer) if isinstance(answer, str) else answer

    def _by_rule(self, request: LMRequest) -> str | Answer | None:
        text = _text_of(request)
        for rule, matches in zip(self.script.rules, self._patterns, strict=True):
            if matches(text) if rule.pattern else rule.match in text:
                return rule.answer
        return None

    def _by_example(self, request: LMRequest) -> str | Answer | None:
        """The answer of the example that shares the largest part of its words with the message; of the
        first one, when several do."""
        asked = _words_of(_text_of(request))
        likeness = [len(asked & words) / len(asked | words or {""}) for words in self._words]
        best = max(likeness)
        return self.script.examples[likeness.index(best)].answer if best else None

    def _next(self) -> str | Answer:
        answers = self.script.answers
        if not answers:
            raise InvalidRequest(
                f"LM profile '{self.profile.name}': no rule of its script matches the last message, no "
                "example is like it, and it has no other answers. Add a rule, or 'answers'."
            )
        answer = answers[min(self._played, len(answers) - 1)]
        self._played += 1
        return answer


class ScriptedAdapter:
    """Plays one script for each profile; `calls` counts the attempts by profile name."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._playing: dict[str, _Playing] = {}

    async def stream(self, request: LMRequest, profile: LMProfile) -> AsyncGenerator[Part, None]:
        playing = self._play(profile)
        self.calls[profile.name] += 1
        answer = playing.answer(request)
        script = playing.script
        if script.delay:
            await asyncio.sleep(script.delay)
        size = script.chunk_size or len(answer.text)
        for at in range(0, len(answer.text), size or 1):
            if at and script.chunk_delay:
                await asyncio.sleep(script.chunk_delay)
            yield answer.text[at : at + size]
        yield _response(answer, request, profile)

    def health(self, profile: LMProfile) -> tuple[bool, str]:
        try:
            self._play(profile)
        except InvalidConfig as error:
            return False, error.message
        return True, "Answers from its script."

    async def aclose(self) -> None:
        return None

    def _play(self, profile: LMProfile) -> _Playing:
        # Projects may have scripts of the same name, and one script may serve several hosts.
        playing = self._playing.get(profile.identity)
        if playing is None or not (playing.profile is profile or playing.profile == profile):
            playing = self._playing[profile.identity] = _Playing(profile)
        return playing


def _response(answer: Answer | LMResponse, request: LMRequest, profile: LMProfile) -> LMResponse:
    if isinstance(answer, LMResponse):
        return answer
    if answer.error:
        details = {} if answer.retry_after is None else {"retry_after": answer.retry_after}
        raise error_of(answer.error, answer.message, **details)
    asked = sum(len(message.content) for message in request.messages)
    usage = Usage(
        input_tokens=asked // CHARACTERS_PER_TOKEN + 1,
        output_tokens=len(answer.text) // CHARACTERS_PER_TOKEN + 1,
    )
    return LMResponse(
        text=answer.text,
        model=profile.model or "scripted",
        finish_reason=answer.finish_reason,
        usage=usage,
        tool_calls=answer.tool_calls,
    )


def _script(name: str, settings: Mapping[str, Any]) -> Script:
    try:
        return msgspec.convert(settings, Script)
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"The script of LM profile '{name}' can't be read: {error}.") from error


def _text_of(request: LMRequest) -> str:
    return _plain(request.messages[-1].content) if request.messages else ""


def _plain(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def _words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _by_demo(request: LMRequest) -> str | None:
    """What the assistant said to the same input, earlier in the prompt. The last message may go on after
    its input, with what it asks for."""
    last = _text_of(request).strip()
    for asked, said in pairwise(request.messages[:-1]):
        if (asked.role, said.role) == ("user", "assistant"):
            text = _plain(asked.content).strip()
            if text and last.startswith(text):
                return _plain(said.content)
    return None


def _pattern(pattern: str) -> Callable[[str], bool]:
    try:
        return pattern_in_linear_time(pattern)
    except ValueError as error:
        raise InvalidConfig(f"A script can't be read: {error}") from error
