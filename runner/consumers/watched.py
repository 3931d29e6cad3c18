"""What one socket has been told of a run, and what therefore comes next."""

from dataclasses import dataclass


@dataclass(slots=True)
class Watched:
    """A run on this socket: the last event sent, and the last message with chunks, which its runner numbers
    from 1 in each epoch; None: whichever comes is the next.

    `behind`: something was not sent, and is read again when the reader has caught up. `joining`: until when
    the text that its runner has in hand is waited for.
    """

    seq: int
    epoch: int = 0
    number: int | None = None
    behind: bool = False
    joining: float | None = None

    def takes(self, epoch: int, number: int) -> bool:
        """Whether a message with chunks goes on where the last one ended. The first of an epoch always does:
        nothing was told before it."""
        if number == 1:
            return True
        follows = self.number is None or (epoch == self.epoch and number == self.number + 1)
        return follows and self.joining is None

    def has_text(self, epoch: int, number: int) -> bool:
        """Whether all the text was sent that was told before events."""
        if self.joining is not None:
            return False
        return not number or self.number is None or (epoch, number) == (self.epoch, self.number)
