"""The browser itself works here: else every journey's failure would be about something else."""

import pytest
from playwright.sync_api import Page, expect


@pytest.mark.journey
def test_the_browser_shows_a_page_and_runs_its_script(page: Page) -> None:
    page.set_content("<p id=a>no</p><script>document.getElementById('a').textContent = '有給休暇'</script>")
    expect(page.locator("#a")).to_have_text("有給休暇")
