"""Coursework: assignments from one master each, and a grader that trusts no name of the student.

| module | one idea |
|---|---|
| `master` | a master file: tasks, parameters of a variant, hidden tests |
| `handout` | the student notebook that nbgrader makes of it |
| `sandbox/` | what runs on the student's side: the jail, the worker, the wire format |
| `session` | the grader's end of the pipe to that process |
| `formula` | symbolic answers, read safely and compared by meaning |
| `judge` | words that hidden tests are written in |
| `grade` | one submission, and a folder of them |
| `report` | points as CSV, Canvas, Gradescope, feedback, answers to be read |

`python -m coursework --help` says how to use it; `book/coursework.md` is the instructor's guide.
"""
