"""Uploads end where the largest file that is kept would: no request can fill the disk where Django puts them by."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload

# A little over what services accept, so that a file that is slightly too large is told so by its name and size.
MAX_FILE_BYTES = 11_000_000


class BoundedUploadHandler(FileUploadHandler):
    """The first of FILE_UPLOAD_HANDLERS. A file that is too large ends the request's parsing.

    `request.upload_too_large` is then the file's name; what came before it in the form is there.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._seen = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self._seen += len(raw_data)
        if self._seen > MAX_FILE_BYTES:
            if self.request is not None:
                self.request.upload_too_large = self.file_name or "The file"  # type: ignore[attr-defined]
            raise StopUpload(connection_reset=False)
        return raw_data

    def file_complete(self, file_size: int) -> UploadedFile[bytes] | None:
        return None  # the next handler keeps it
