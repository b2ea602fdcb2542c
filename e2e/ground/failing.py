"""Commands whose expected failures are a sentence and exit code 1, not a traceback."""

import click


def telling(*expected: type[Exception]) -> type[click.Group]:
    """A group of commands that turns these errors into one message and exit code 1."""

    class Group(click.Group):
        def invoke(self, ctx: click.Context) -> object:
            try:
                return super().invoke(ctx)
            except expected as error:
                raise click.ClickException(str(error)) from error

    return Group
