"""What a run may spend, what it finds when it is run again, and who is left out."""

from __future__ import annotations

import pytest
from endpoints.server import FAST, Answer, completion, dealing, serve, templates

from paft.errors import InputError, OutputError
from paft.prompts import PromptSet
from paft.prompts.generation import Price, generate_prompts


@pytest.mark.parametrize(("budget", "most"), [({"max_tokens": 5000}, 5000), ({"max_cost": 0.004}, 0.004)])
def test_budgets(piqa, pool, provider, budget, most):
    """Every reply takes all it may: the budget is reached and not passed."""

    def script(number, request):
        text = templates(pool[40 * (int(request.body["model"][1:]) - 1) + 3 * number :][:3])
        tokens = (len(request.body["messages"][1]["content"]) // 4, request.body["max_tokens"])
        return Answer(completion(text, tokens))

    with serve(script) as endpoint:
        providers = [provider(endpoint.url, f"m{i}", price=Price(0.2, 1.0), max_tokens=700) for i in (1, 2, 3)]
        made = generate_prompts(piqa, providers, per_strategy=40, **FAST, **budget)
    total = made.usage.total
    spent = total.prompt_tokens + total.completion_tokens if "max_tokens" in budget else total.cost
    assert 0.7 * most < spent <= most
    assert all("budget reached" in row.ended for row in made.usage.rows)


def test_a_budget_of_dollars_needs_prices(piqa, provider):
    with pytest.raises(InputError, match="--max-cost needs the price of every provider; m1 has none"):
        generate_prompts(piqa, [provider("http://127.0.0.1:9/v1")], max_cost=1.0)


def test_a_finished_run_asks_nothing_and_a_larger_one_asks_for_the_rest(piqa, pool, provider, tmp_path):
    out = tmp_path / "p.jsonl"
    with serve(dealing(pool)) as endpoint:
        one = [provider(endpoint.url)]
        first = generate_prompts(piqa, one, per_strategy=10, output=out, **FAST)
        again = generate_prompts(piqa, one, per_strategy=10, output=out, **FAST)
        assert len(endpoint.requests) == 1
        more = generate_prompts(piqa, one, per_strategy=15, output=out, **FAST)
        assert len(endpoint.requests) == 2
    assert first.prompts == again.prompts
    assert first.usage.rows[0] == again.usage.rows[0]
    assert list(more.prompts)[:10] == list(first.prompts)
    assert PromptSet.load(out) == more.prompts


def test_other_work_is_not_written_over(piqa, pool, provider, tmp_path):
    out = tmp_path / "p.jsonl"
    out.write_text('{"text": "mine"}\n')
    with serve(dealing(pool)) as endpoint:
        one = [provider(endpoint.url)]
        with pytest.raises(OutputError, match="holds other work"):
            generate_prompts(piqa, one, per_strategy=10, output=out, **FAST)
        out.unlink()
        generate_prompts(piqa, one, per_strategy=10, output=out, **FAST)
        with pytest.raises(OutputError, match=r"holds other work"):
            generate_prompts(piqa, one, per_strategy=10, output=out, language="French", **FAST)
        rows = out.read_text().splitlines()
        out.write_text("\n".join(rows[:5]) + "\n")
        with pytest.raises(OutputError, match="was changed since it was generated"):
            generate_prompts(piqa, one, per_strategy=20, output=out, **FAST)
        out.unlink()
        with pytest.raises(OutputError, match="holds replies for another language"):
            generate_prompts(piqa, one, per_strategy=10, output=out, language="French", **FAST)
    assert len(endpoint.requests) == 1


def test_no_key_at_all(piqa, provider, monkeypatch):
    one = provider("http://127.0.0.1:9/v1")
    monkeypatch.setenv("PAFT_TEST_KEY", " \n")
    with pytest.raises(InputError, match=r"none of the providers has a key; set \$PAFT_TEST_KEY"):
        generate_prompts(piqa, [one])


def test_who_has_no_key_is_left_out(piqa, pool, provider, monkeypatch):
    with serve(dealing(pool)) as endpoint:
        providers = [
            provider(endpoint.url, "m1"),
            provider(endpoint.url, "m2").__class__("m2", "m2", endpoint.url, "NO"),
        ]
        made = generate_prompts(piqa, providers, per_strategy=5, **FAST)
    assert made.notes == ("m2 was left out: $NO is not set",)
    assert {r.body["model"] for r in endpoint.requests} == {"m1"}
