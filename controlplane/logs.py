"""How a log line looks: one event begins one line, whatever the names in it hold."""

import logging


class OneLineFormatter(logging.Formatter):
    """Line breaks within the message are shown as \\n and \\r, so that no name can forge a line of the log.

    A traceback keeps its lines, each indented.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", "\n    ")
