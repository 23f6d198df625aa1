"""Ends all processes of a run when one of them is asked to stop, and says how to go on.

A thread ends the process, since the main thread may be waiting within a library: for another process that has already
ended, or for a computation of minutes. Nothing is saved then: files are whole at any time, and `last.ckpt` is the state
to go on from. This module is imported before the libraries, whose import takes seconds; it imports none of them.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType

from workflows.run_folder import how_to_go_on

_FIRST_PROCESS = "TAILMOL_FIRST_PROCESS"
"""Environment variable in which the first process of a run tells its id to those that it starts."""

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0
_NUMBERS = {int(number) for number in (signal.SIGTERM, signal.SIGINT)}


_entered: set[int] = set()
"""The id of this process while it is in the context, also in copies that it forks."""


def _leave_in_copy() -> None:
    """Give the signals back in a forked copy, whose signals would otherwise end the run."""
    if _entered:
        signal.set_wakeup_fd(-1)
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_leave_in_copy)


def leave_to_thread(number: int, frame: FrameType | None) -> None:
    """Do nothing in the main thread, since another one ends the process.

    Args:
        number: The signal.
        frame: Where the main thread is.
    """


class StopSignals:
    """A context in which SIGTERM and SIGINT end the process with the usual exit status, 143 or 130.

    Outside of the main thread, in which alone Python receives signals, the context does nothing.

    Attributes:
        folder: Folder of the run, once it is known.
        speaks: Whether this process says how to go on.
    """

    def __init__(self, command: str, arguments: Sequence[str], first: bool) -> None:
        """Describe the run.

        Args:
            command: Name of the command, for messages.
            arguments: The command line after `fit`.
            first: Whether this is the first process of the run, as far as it is known before the trainer exists.
        """
        self.folder: Path | None = None
        self.speaks = first
        self._command, self._arguments = command, arguments
        self._stopping = threading.Event()

    def __enter__(self) -> StopSignals:
        """Take over the signals."""
        self._is_active = threading.current_thread() is threading.main_thread()
        if not self._is_active:
            return self
        given = os.environ.get(_FIRST_PROCESS)
        self._parent = os.getppid() if given == str(os.getppid()) else None
        if self._parent is None:
            if given is not None and not self.speaks:
                # The first process ended while this one was starting.
                sys.exit(128 + signal.SIGTERM)
            os.environ[_FIRST_PROCESS] = str(os.getpid())
        self._received, self._sent = socket.socketpair()
        self._received.setblocking(False)
        self._sent.setblocking(False)
        # The number of each signal is written here at once, whatever the main thread is doing and however Lightning
        # replaces the handlers; there only has to be one.
        self._descriptor = signal.set_wakeup_fd(self._sent.fileno(), warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, leave_to_thread) for number in _NUMBERS}
        _entered.add(os.getpid())
        self._ended = False
        self._watch = threading.Thread(target=self._wait, name="stop signals", daemon=True)
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the signals back."""
        if not self._is_active:
            return
        if error is not None and isinstance(error, Exception) and "WORLD_SIZE" in os.environ:
            # A process that was asked to stop makes the others fail, with the RuntimeError of a lost connection. On a
            # busy machine the end of the first one shows seconds later.
            self._stopping.wait(_PATIENCE_SECONDS if isinstance(error, RuntimeError) else 4 * _POLL_SECONDS)
        if self._stopping.is_set():
            # The thread ends this process.
            self._watch.join()
        self._ended = True
        self._sent.send(b"\0")
        self._watch.join()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        self._received.close()
        self._sent.close()
        if self._parent is None:
            del os.environ[_FIRST_PROCESS]
        _entered.clear()

    def _wait(self) -> None:
        """Wait for a signal or the end of the first process, and end this one."""
        while not self._ended:
            ready, _, _ = select.select([self._received], [], [], _POLL_SECONDS)
            asked = [number for number in (self._received.recv(64) if ready else b"") if number in _NUMBERS]
            if asked:
                self._stopping.set()
                self._end(asked[0])
            if self._parent is not None and os.getppid() != self._parent:
                self._stopping.set()
                os._exit(128 + signal.SIGTERM)

    def _end(self, number: int) -> None:
        status = 128 + number
        if self._parent is not None:
            # The first process must not find this one dead before it knows why.
            os.kill(self._parent, number)
            start = time.monotonic()
            while os.getppid() == self._parent and time.monotonic() - start < _PATIENCE_SECONDS:
                time.sleep(_POLL_SECONDS / 10)
            os._exit(status)
        for child in multiprocessing.active_children():
            child.terminate()
        if self.speaks:
            advice = how_to_go_on(self._command, self._arguments, self.folder)
            text = f"{self._command}: stopped by {signal.Signals(number).name}; {advice}\n"
            # The progress line has hidden the cursor.
            os.write(2, (("\x1b[?25h\n" if os.isatty(2) else "") + text).encode())
        os._exit(status)
