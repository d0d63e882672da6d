"""A person's second factor, and what others changed about an account."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from controlplane.registry.secrets import EncryptedTextField


class SecondFactor(models.Model):
    """An authenticator of a person. Counts once a code of it was given (confirmed_at).

    secret: encrypted, and bound to the person: moved to another's row it doesn't open.
    last_step: the half minute of the last code that was taken; none is taken twice.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="second_factor")
    secret = EncryptedTextField(bind_to="user_id")
    last_step = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["user"]

    def __str__(self) -> str:
        return f"Authenticator of {self.user}"


class RecoveryCode(models.Model):
    """A code that stands in for the authenticator once. Only its digest is kept."""

    factor = models.ForeignKey(SecondFactor, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["factor", "digest"], name="one_row_per_recovery_code")]

    def __str__(self) -> str:
        return "used" if self.used_at else "unused"


class AccountChange(models.Model):
    """What somebody other than the person changed about how the person signs in (changes.py). Appended only.

    counts_again_at: until then nothing that the account decides counts.
    """

    class What(models.TextChoices):
        PASSWORD = "password", "Password"
        SECOND_FACTOR = "second_factor", "Second factor"
        ADDRESS = "address", "Mail address"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    what = models.CharField(max_length=16, choices=What.choices)
    by = models.CharField(max_length=150)  # a user's name, or cli:<login>
    at = models.DateTimeField()
    counts_again_at = models.DateTimeField()
    address_before = models.CharField(max_length=254, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["user", "counts_again_at"], name="account_change_rest")]

    def __str__(self) -> str:
        return f"{self.get_what_display()} of {self.user}, by {self.by}"

    @property
    def said(self) -> str:
        """'<who> … your account', or 'this account'."""
        return {
            self.What.PASSWORD.value: "set the password of",
            self.What.SECOND_FACTOR.value: "removed the second factor of",
            self.What.ADDRESS.value: "changed the mail address of",
        }[self.What(self.what)]
