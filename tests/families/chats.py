"""Chat templates in the forms that model families use: their control tokens, in their order."""

from train.tiny_models import CHATML

ALTERNATING = (
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant must take turns') }}{% endif %}"
)
SYSTEM_APART = (
    "{% if messages[0].role == 'system' %}"
    "{% set system, turns = messages[0].content, messages[1:] %}"
    "{% else %}{% set system, turns = '', messages %}{% endif %}"
)

CHATML_DEFAULT = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe of help.<|im_end|>\n{% endif %}"
    + CHATML
)
# Thoughts before the last question are dropped; the last answer begins with room for some.
QWEN3 = (
    "{% set asked = namespace(last=-1) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set asked.last = loop.index0 %}{% endif %}"
    "{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role != 'assistant' %}{{ m.content }}{% else %}"
    "{% if loop.index0 > asked.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SMOLLM3 = (
    SYSTEM_APART + "<|im_start|>system\n## Metadata\n\nToday: {{ strftime_now('%d %B %Y') }}\n\n"
    "{{ system }}<|im_end|>\n" + CHATML.replace("in messages", "in turns")
)
LLAMA2 = (
    SYSTEM_APART + "{% for m in turns %}" + ALTERNATING + "{% if m.role == 'user' %}"
    "{{ bos_token }}[INST] "
    "{% if system and loop.first %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}"
    "{{ m.content.strip() }} [/INST]"
    "{% else %} {{ m.content.strip() }} {{ eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    SYSTEM_APART + "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\n"
    "Today Date: {{ strftime_now('%d %b %Y') }}\n\n{{ system }}<|eot_id|>"
    "{% for m in turns %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = (
    SYSTEM_APART + "{{ bos_token }}{% for m in turns %}" + ALTERNATING + "{% if m.role == 'user' %}"
    "[INST] {% if system and loop.first %}{{ system }}\n\n{% endif %}{{ m.content }}[/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
_GEMMA_TURNS = (
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}\n"
    "{% if system and loop.first %}{{ system }}\n\n{% endif %}"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
GEMMA2 = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{{ bos_token }}{% for m in messages %}" + ALTERNATING + _GEMMA_TURNS
)
GEMMA3 = SYSTEM_APART + "{{ bos_token }}{% for m in turns %}" + ALTERNATING + _GEMMA_TURNS
PHI3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
# Roles in plain text, as Zephyr, Falcon 3 and OLMo 2 have them; the end closes answers alone.
PLAIN_ROLES = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
GRANITE = (
    "{% for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}"
    "<|end_of_text|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"
)
