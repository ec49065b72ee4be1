"""A Llama teacher on Groq, or on any server that speaks its protocol. The key comes from GROQ_API_KEY alone."""

import os
from pathlib import Path

from components.generate.teacher import Request
from components.shared.errors import TeacherError
from components.shared.licences import model_licence
from components.shared.records import digest

PROMPT = Path(__file__).with_name("prompt.txt").read_text("utf-8")
RETRIES = 5  # of the client itself, with backoff and Retry-After: 408, 409, 429, 5xx and broken connections


class GroqTeacher:
    """Asks one model, at temperature 0, about one page at a time."""

    def __init__(self, model: str, url: str, max_answer_tokens: int) -> None:
        key = os.environ.get("GROQ_API_KEY", "")
        if not key:
            raise TeacherError("the teacher is Groq, but GROQ_API_KEY is not set", "set it, or --teacher embedded")
        from groq import Groq

        self._client = Groq(api_key=key, base_url=url or None, max_retries=RETRIES)
        self._model, self._max_tokens = model, max_answer_tokens
        self.name = f"groq/{model}"
        self.licence = model_licence(model)
        self.prompt_hash = digest([PROMPT, model, max_answer_tokens])

    def ask(self, request: Request) -> str:
        """Return the model's answer; raise TeacherError for what asking again would not mend."""
        import groq

        try:
            answer = self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": "user", "content": f"{PROMPT}{request.text}"}],
                temperature=0,
                max_completion_tokens=self._max_tokens,
                response_format={"type": "json_object"},
                seed=request.seed,
            )
        except groq.AuthenticationError:
            raise TeacherError("Groq refuses the key (401)", "check GROQ_API_KEY") from None
        except groq.NotFoundError:
            raise TeacherError(f"Groq has no model {self._model!r} (404)", "name another by --teacher-model") from None
        except groq.RateLimitError:
            raise TeacherError("Groq's quota is used up (429)", "run again later: answers so far are kept") from None
        except groq.APIStatusError as error:
            raise TeacherError(f"Groq answers {error.status_code}", "run again: all answers so far are kept") from None
        except groq.APIConnectionError:
            raise TeacherError("Groq cannot be reached", "check the network, or --teacher embedded") from None
        return answer.choices[0].message.content or ""
