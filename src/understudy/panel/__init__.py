"""The raters' web app: blind pairs, two protocols, and an owner's page.

`items` makes the pairs of a run's answers, `store` keeps them with the ratings, `app` serves them,
`results` turns ratings into preferences.
"""
