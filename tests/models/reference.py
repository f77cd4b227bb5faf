"""Channels and select in plain lists: what gopark must do, said as simply as possible.

Nothing here waits or runs at the same time.  An operation is begun by a call; it
ends at once or stands in line, and a later call may end it.  `World.ended` holds
what became of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CLOSED = "closed"
RAISED = "ChanClosed"


@dataclass(eq=False)
class Operation:
    """What one goroutine does; `cases` are (channel, sends?, value)."""

    cases: list[tuple[Channel, bool, Any]]
    is_select: bool = False


@dataclass(eq=False)
class Channel:
    capacity: int
    buffer: list[Any] = field(default_factory=list)
    senders: list[tuple[Operation, int]] = field(default_factory=list)
    receivers: list[tuple[Operation, int]] = field(default_factory=list)
    closed: bool = False

    def can_send(self) -> bool:
        return bool(self.receivers) or len(self.buffer) < self.capacity

    def can_receive(self) -> bool:
        return bool(self.senders or self.buffer)


class World:
    """All that is known of the channels and of the operations on them."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.ended: dict[Operation, Any] = {}

    def ready(self, operation: Operation) -> list[int]:
        """Which cases can go ahead now?"""
        return [
            i
            for i, (channel, sends, _) in enumerate(operation.cases)
            if channel.closed or (channel.can_send() if sends else channel.can_receive())
        ]

    def perform(self, operation: Operation, i: int) -> None:
        """Case `i`, which can go ahead, does so."""
        channel, sends, value = operation.cases[i]
        if sends:
            self.send(channel, operation, i, value)
        else:
            self.receive(channel, operation, i)

    def send(self, channel: Channel, operation: Operation, i: int, value: Any) -> None:
        if channel.closed:
            self.end(operation, i, RAISED)
            return
        if channel.receivers:
            self.end(*channel.receivers[0], value)
        else:
            channel.buffer.append(value)
        self.end(operation, i, None)

    def receive(self, channel: Channel, operation: Operation, i: int) -> None:
        if not channel.buffer and not channel.senders:
            self.end(operation, i, CLOSED)
            return
        if channel.senders:
            sender, k = channel.senders[0]
            channel.buffer.append(sender.cases[k][2])
            self.end(sender, k, None)
        self.end(operation, i, channel.buffer.pop(0))

    def wait(self, operation: Operation) -> None:
        """Stand in line with every case."""
        for i, (channel, sends, _) in enumerate(operation.cases):
            (channel.senders if sends else channel.receivers).append((operation, i))

    def close(self, channel: Channel) -> None:
        channel.closed = True
        while channel.receivers:
            self.end(*channel.receivers[0], CLOSED)
        while channel.senders:
            self.end(*channel.senders[0], RAISED)

    def end(self, operation: Operation, i: int, outcome: Any) -> None:
        """`operation` leaves every line it stands in."""
        self.ended[operation] = (i, outcome)
        for channel in {id(c): c for c, _, _ in operation.cases}.values():
            channel.senders = [w for w in channel.senders if w[0] is not operation]
            channel.receivers = [w for w in channel.receivers if w[0] is not operation]
