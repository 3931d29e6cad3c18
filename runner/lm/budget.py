"""Budgets: what runs and projects may spend, held before it is spent.

A call is let through when what was spent, what calls under way may still spend and what this one may
spend fit together. So a budget is never passed by calls that run at the same time. What a call may spend
is estimated from above: its input by its length, its output by its limit of tokens, which a call under
a budget always has. When the answer is there, the estimate gives way to what the provider counted.
"""

from collections.abc import Iterable, Sequence

import msgspec

from runner.lm.errors import BudgetExceeded
from runner.lm.types import LMProfile, LMRequest, Usage

# The limit that a call under a budget gets when neither the step nor the profile sets one.
OUTPUT_LIMIT = 4096
# Bytes of UTF-8 for one token: fewer than the four characters of English, as many as one character of
# Chinese has.
BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 8
TOKENS_PER_ATTACHMENT = 1600  # about what providers count for an image at full size


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A limit on tokens (input and output together), on US dollars, or on both, for all calls that
    share the `key`. `name` says whose it is; `spent` what was spent before."""

    key: str
    name: str
    tokens: int | None = None
    cost: float | None = None
    spent: Usage = Usage()


class Spend(msgspec.Struct, kw_only=True):
    """Tokens and US dollars."""

    tokens: int = 0
    cost: float = 0.0


class Account:
    """What was spent of a budget, and what calls under way may spend."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.spent = Spend(
            tokens=budget.spent.input_tokens + budget.spent.output_tokens, cost=budget.spent.cost
        )
        self.reserved = Spend()

    def update(self, budget: Budget) -> None:
        """Take on a changed limit, and what others are known to have spent since."""
        told = budget.spent.input_tokens + budget.spent.output_tokens
        self.budget = budget
        self.spent.tokens = max(self.spent.tokens, told)
        self.spent.cost = max(self.spent.cost, budget.spent.cost)

    def check(self, asked: Spend) -> None:
        """BudgetExceeded, where `asked` does not fit any more."""
        budget = self.budget
        tokens = self.spent.tokens + self.reserved.tokens
        if budget.tokens is not None and tokens + asked.tokens > budget.tokens:
            raise _exceeded(
                budget,
                "tokens",
                limit=budget.tokens,
                spent=self.spent.tokens,
                reserved=self.reserved.tokens,
                asked=asked.tokens,
            )
        cost = self.spent.cost + self.reserved.cost
        if budget.cost is not None and cost + asked.cost > budget.cost + 1e-12:
            raise _exceeded(
                budget,
                "cost",
                limit=budget.cost,
                spent=self.spent.cost,
                reserved=self.reserved.cost,
                asked=asked.cost,
            )


class Reservation:
    """What one attempt may spend, held in every account that it counts for."""

    def __init__(self, accounts: Sequence[Account], asked: Spend) -> None:
        self._accounts = accounts
        self._asked = asked
        for account in accounts:
            account.reserved.tokens += asked.tokens
            account.reserved.cost += asked.cost

    def settle(self, usage: Usage) -> None:
        """Give back what was held, and count what was spent."""
        for account in self._accounts:
            account.reserved.tokens -= self._asked.tokens
            account.reserved.cost -= self._asked.cost
            account.spent.tokens += usage.input_tokens + usage.output_tokens
            account.spent.cost += usage.cost
        self._accounts = ()


class Ledger:
    """The accounts of a process: which budgets the calls of a run count for."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._runs: dict[str, tuple[Account, ...]] = {}

    def open(self, run_id: str, budgets: Iterable[Budget]) -> None:
        """From now on the run's calls count for these budgets."""
        self._runs[run_id] = tuple(self._account(budget) for budget in budgets)

    def close(self, run_id: str) -> None:
        """The run is over. Accounts that no run counts for any more are forgotten: what they held is in
        the `spent` of the next budget of their key."""
        if not self._runs.pop(run_id, ()):
            return
        used = {id(account) for accounts in self._runs.values() for account in accounts}
        self._accounts = {
            key: account for key, account in self._accounts.items() if id(account) in used
        }

    def limits(self, run_id: str) -> bool:
        """Whether any budget holds for the run."""
        return bool(self._runs.get(run_id))

    def reserve(self, run_id: str, asked: Spend) -> Reservation:
        """Hold what an attempt may spend; BudgetExceeded when it does not fit into every budget."""
        accounts = self._runs.get(run_id, ())
        for account in accounts:
            account.check(asked)
        return Reservation(accounts, asked)

    def _account(self, budget: Budget) -> Account:
        account = self._accounts.get(budget.key)
        if account is None:
            account = self._accounts[budget.key] = Account(budget)
        else:
            account.update(budget)
        return account


def input_estimate(request: LMRequest) -> int:
    """About how many tokens a request has, rather too many."""
    total = 0
    for message in request.messages:
        total += TOKENS_PER_MESSAGE
        if isinstance(message.content, str):
            total += _tokens(message.content)
        else:
            for part in message.content:
                text = part.get("text")
                total += _tokens(text) if isinstance(text, str) else TOKENS_PER_ATTACHMENT
        if message.tool_calls:
            total += len(msgspec.json.encode(message.tool_calls)) // BYTES_PER_TOKEN
    for extra in (request.response_schema, request.tools):
        if extra:
            total += len(msgspec.json.encode(extra)) // BYTES_PER_TOKEN
    return total


def spend_estimate(request: LMRequest, profile: LMProfile) -> Spend:
    """What a request may spend at most, as far as can be told."""
    usage = Usage(
        input_tokens=input_estimate(request), output_tokens=request.max_tokens or OUTPUT_LIMIT
    )
    return Spend(tokens=usage.input_tokens + usage.output_tokens, cost=profile.cost(usage))


def _tokens(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return size // BYTES_PER_TOKEN + 1


def _exceeded(budget: Budget, unit: str, **amounts: float) -> BudgetExceeded:
    def shown(amount: float) -> str:
        return f"${amount:,.4f}" if unit == "cost" else f"{amount:,.0f} tokens"

    return BudgetExceeded(
        f"The budget of {budget.name} is {shown(amounts['limit'])}. {shown(amounts['spent'])} are "
        f"spent, {shown(amounts['reserved'])} are held for calls under way, and this call may take "
        f"{shown(amounts['asked'])}. Raise the budget, or lower the most tokens of the step or its LM "
        "profile, and resume.",
        budget=budget.name,
        unit=unit,
        **amounts,
    )
