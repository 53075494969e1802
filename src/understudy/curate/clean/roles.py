"""Who speaks when, and whether anybody says something: what makes a dialogue unfit as a whole."""

from understudy.dialogue import Dialogue


def trim(dialogue: Dialogue) -> Dialogue:
    """The dialogue without answers before its first question and questions after its last answer.

    Itself where there is nothing to trim, or where no answer to a question would be left.
    """
    turns = list(dialogue.turns)
    while turns and turns[-1].role == "user":
        turns.pop()
    first = 1 if turns and turns[0].role == "system" else 0
    while first < len(turns) and turns[first].role == "assistant":
        del turns[first]
    if len(turns) == len(dialogue.turns) or not any(turn.role == "assistant" for turn in turns):
        return dialogue
    return dialogue.model_copy(update={"turns": turns})


def fault(dialogue: Dialogue) -> tuple[str, str] | None:
    """Reason code and detail of the first fault of a trimmed dialogue, None if it is fit.

    Codes, in order: `empty` (nobody speaks), `no_answer`, `roles` (after an optional system turn,
    user and assistant must alternate, user first), `empty_prompt`, `empty_answer`, `cut` (the last
    answer is known to have been cut short, so its end would teach stopping anywhere).
    """
    spoken = [turn for turn in dialogue.turns if turn.role != "system"]
    if not spoken:
        return "empty", "no turn of user or assistant"
    if all(turn.role != "assistant" for turn in spoken):
        return "no_answer", "no turn of the assistant"
    first = 1 if dialogue.turns[0].role == "system" else 0
    for number, turn in enumerate(dialogue.turns[first:]):
        expected = "assistant" if number % 2 else "user"
        if turn.role != expected:
            return "roles", f"turn {first + number + 1} is {turn.role}, not {expected}"
    for number, turn in enumerate(dialogue.turns, start=1):
        if turn.role != "system" and not turn.content.strip():
            kind = "empty_prompt" if turn.role == "user" else "empty_answer"
            return kind, f"turn {number} is blank"
    if dialogue.cut:
        return "cut", "the last answer was cut short"
    return None
