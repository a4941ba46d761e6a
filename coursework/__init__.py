"""Coursework: assignments made from master files, and a grader for submissions.

The grader does not trust any name that a submission defines: student code runs in a process of its
own, and hidden tests run in the grader's process.

nbgrader makes the student notebooks, and does not grade: it would run hidden tests in the student's
process. Otter-Grader is not used, since its `otter grade` needs Docker, students would have to
install it, and it adds 266 MB to the environment, where nbgrader adds 52 MB.

| module | content |
|---|---|
| `master` | a master file: tasks, parameters of a variant, hidden tests |
| `handout` | the student notebook that nbgrader makes from a master |
| `sandbox/` | the student's process: the jail, the worker, the wire format |
| `session` | the grader's side of the pipe to this process |
| `formula` | symbolic answers: parsed safely, compared by meaning |
| `judge` | the functions that hidden tests are written with |
| `collect` | submissions in a folder: whose they are, and all that is passed over |
| `submission` | the cells of a notebook: those to run, those to read, those missing |
| `grade` | grading of one submission |
| `folder` | grading of a folder in parallel, from where an earlier run ended |
| `names`, `tables` | names that students choose, and CSV files that a spreadsheet may change |
| `reading` | the points that a person gives |
| `report` | points as CSV, Canvas, Gradescope, feedback, answers for a person to read |

`python -m coursework --help` says how to use it; `book/coursework.md` is the instructor's guide.
"""
