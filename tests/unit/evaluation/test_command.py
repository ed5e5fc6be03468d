from __future__ import annotations

from usassist.evaluation.__main__ import main


def test_without_data_the_command_exits_with_code_2_and_names_the_setting(monkeypatch, capsys):
    monkeypatch.delenv("USASSIST_DATA", raising=False)
    assert main([]) == 2
    assert "USASSIST_DATA" in capsys.readouterr().err
